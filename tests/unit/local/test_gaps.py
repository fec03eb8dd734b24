"""What the emulator's CloudFormation drops is spelled as the API wants it."""

from scripts.local import gaps


def test_a_lifecycle_rule_in_the_words_of_the_api() -> None:
    rule = {
        "Id": "old",
        "Status": "Enabled",
        "Prefix": "in/",
        "ExpirationInDays": 30,
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
    }
    assert gaps.lifecycle_rule(rule) == {
        "ID": "old",
        "Status": "Enabled",
        "Filter": {"Prefix": "in/"},
        "Expiration": {"Days": 30},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
    }


def test_filters_by_tag() -> None:
    tag = {"Key": "keep", "Value": "day"}
    assert gaps.lifecycle_rule({"Status": "Enabled", "TagFilters": [tag]})["Filter"] == {"Tag": tag}
    both = gaps.lifecycle_rule({"Status": "Enabled", "TagFilters": [tag], "Prefix": "in/"})["Filter"]
    assert both == {"And": {"Prefix": "in/", "Tags": [tag]}}


def test_an_encryption_rule_keeps_a_literal_key_only() -> None:
    by_reference = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "Key"}}}
    assert gaps.encryption_rule(by_reference) == {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    assert gaps.encryption_rule({"BucketKeyEnabled": True}) == {}
