"""The CDK app: what Cleartake is made of, in AWS and on one machine."""
