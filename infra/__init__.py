"""The CDK app: what Cleartake is made of, in AWS and on one machine."""

from infra.node import use_packaged_node

use_packaged_node()  # before any module below imports the CDK, which starts its runtime while it is imported
