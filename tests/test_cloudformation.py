"""The AWS template: linted, created in moto's CloudFormation, and what then exists compared by value with what is meant."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint.decode import decode

from cortex_rec.testing.aws_server import REGION, AwsServer

TEMPLATE = Path(__file__).parents[1] / "deployments" / "cloudformation.yaml"
ACCOUNT = "123456789012"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shop"
IMAGE = f"{REPOSITORY}@sha256:{'0' * 64}"
KEYS = "shop " + "0" * 64 + " read"
MAIL = {"BudgetEmail": "owner@example.org"}
#: What moto does not make, and says CREATE_COMPLETE all the same: of these only cfn-lint and the template's own words are looked at.
NOT_IN_MOTO = {"ReleasesPolicy", "FunctionUrl", "AnyoneMayCallTheUrl", "AnyoneMayInvokeByTheUrl", "Budget"}
#: Moto cannot make an output of what it has not made.
WITHOUT = "  FunctionUrl:\n    Condition: HasFunction\n    Value: !GetAtt FunctionUrl.FunctionUrl\n"
Client = Callable[[str], Any]


@pytest.fixture(scope="module")
def aws() -> Iterator[Client]:
    server = AwsServer()
    yield server.client
    server.stop()


@dataclass(frozen=True)
class Stack:
    """A created stack: names by logical id, outputs by name."""

    names: dict[str, str]
    outputs: dict[str, str]


def create(aws: Client, name: str, **parameters: str) -> Stack:
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in (MAIL | parameters).items()]
    formation, text = aws("cloudformation"), TEMPLATE.read_text()
    assert WITHOUT in text
    formation.create_stack(StackName=name, TemplateBody=text.replace(WITHOUT, ""), Parameters=given, Capabilities=["CAPABILITY_IAM"])
    (told,) = formation.describe_stacks(StackName=name)["Stacks"]
    assert told["StackStatus"] == "CREATE_COMPLETE"
    resources = formation.describe_stack_resources(StackName=name)["StackResources"]
    names = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources if "LogicalResourceId" in each}
    return Stack(names, {each["OutputKey"]: each["OutputValue"] for each in told["Outputs"]})


@pytest.fixture(scope="module")
def plain(aws: Client) -> Stack:
    return create(aws, "plain")


@pytest.fixture(scope="module")
def shop(aws: Client) -> Stack:
    return create(aws, "shop", FunctionImage=IMAGE, FunctionUrlAuth="NONE", ApiKeys=KEYS, FunctionMemory="2048", ReleasesPrefix="night")


def faults(template: Path) -> str:
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--regions", REGION, "--template", str(template)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout


def test_cfn_lint_finds_no_fault_and_would_find_one(tmp_path: Path) -> None:
    assert faults(TEMPLATE) == ""
    broken = tmp_path / "broken.yaml"
    broken.write_text(TEMPLATE.read_text().replace("ImageTagMutability", "TagMutability"))
    assert "'TagMutability' was unexpected" in faults(broken)


def template() -> dict[str, Any]:
    read, faults = decode(str(TEMPLATE))
    assert not faults
    told: dict[str, Any] = json.loads(json.dumps(read))
    return told


def declared(name: str) -> dict[str, Any]:
    """What the template says of a resource, where moto leaves it out when it makes one."""
    properties: dict[str, Any] = template()["Resources"][name]["Properties"]
    return properties


def test_releases_are_encrypted_versioned_kept_and_never_public(aws: Client, plain: Stack) -> None:
    (rule,) = aws("s3").get_bucket_encryption(Bucket=plain.names["Releases"])["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert plain.outputs["ReleasesUri"] == f"s3://{plain.names['Releases']}/releases"

    bucket = declared("Releases")
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    blocked = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    assert bucket["PublicAccessBlockConfiguration"] == dict.fromkeys(blocked, True)
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert template()["Resources"]["Releases"]["DeletionPolicy"] == "Retain"


def test_old_versions_and_broken_uploads_go_by_themselves_and_nothing_else() -> None:
    old, broken = declared("Releases")["LifecycleConfiguration"]["Rules"]
    assert (old.pop("Id"), broken.pop("Id")) == ("old-versions", "broken-uploads")
    assert old == {"Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 30}, "ExpiredObjectDeleteMarker": True}
    assert broken == {"Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2}}


def test_image_tags_never_move_and_images_are_scanned_and_do_not_pile_up(aws: Client, plain: Stack) -> None:
    (repository,) = aws("ecr").describe_repositories(repositoryNames=["plain"])["repositories"]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert repository["repositoryUri"] == plain.outputs["ImagesUri"]

    images = declared("Images")
    assert images["ImageScanningConfiguration"] == {"ScanOnPush": True}
    rules = json.loads(images["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    counted = [(rule["selection"]["countType"], rule["selection"]["countNumber"]) for rule in rules]
    assert counted == [("sinceImagePushed", 7), ("imageCountMoreThan", 20)]
    (pull,) = images["RepositoryPolicyText"]["Statement"]
    assert (pull["Principal"], pull["Action"]) == (
        {"Service": "lambda.amazonaws.com"},
        ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
    )
    own = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:*"
    assert pull["Condition"] == {"StringLike": {"aws:SourceArn": {"Fn::Sub": own}}}


def allowed(aws: Client, role: str) -> dict[str, set[str]]:
    """Every action that a role may take, and on what."""
    iam = aws("iam")
    found: dict[str, set[str]] = {}
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
        documents.append(iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"])
    # Moto gives what CloudFormation made as Python writes it, not as JSON; YAML reads both.
    read = [yaml.safe_load(document) if isinstance(document, str) else document for document in documents]
    for statement in (statement for document in read for statement in document["Statement"]):
        assert statement["Effect"] == "Allow"
        assert not {"NotAction", "NotResource"} & set(statement)
        for action in listed(statement["Action"]):
            found.setdefault(action, set()).update(listed(statement["Resource"]))
    return found


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize("role", ["TrainerRole", "ServiceRole", "FunctionRole"])
def test_no_role_has_an_action_or_a_resource_of_a_star_where_aws_takes_a_narrower_one(aws: Client, shop: Stack, role: str) -> None:
    may = allowed(aws, shop.names[role])
    assert may
    assert not [action for action in may if "*" in action]
    assert {action for action, resources in may.items() if "*" in resources} <= {"ecr:GetAuthorizationToken"}
    bucket = f"arn:aws:s3:::{shop.names['Releases']}"
    ours = (bucket, f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/shop", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/shop:")
    assert all(resource.startswith(ours) for resources in may.values() for resource in resources - {"*"})


PULL = {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}


def test_the_trainer_writes_releases_and_pushes_images_and_does_nothing_else(aws: Client, shop: Stack) -> None:
    may = allowed(aws, shop.names["TrainerRole"])
    push = {"ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"}
    ask = {"ecr:CreateRepository", "ecr:GetAuthorizationToken"}
    assert set(may) == PULL | push | ask | {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"}
    assert may["s3:PutObject"] == {f"arn:aws:s3:::{shop.names['Releases']}/night/*"}


def test_the_service_reads_releases_and_images_and_the_function_releases_and_its_own_log_alone(aws: Client, shop: Stack) -> None:
    bucket = f"arn:aws:s3:::{shop.names['Releases']}"
    read = {"s3:GetObject": {f"{bucket}/night/*"}, "s3:ListBucket": {bucket}}
    images = {action: {f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/shop"} for action in PULL}
    assert allowed(aws, shop.names["ServiceRole"]) == read | images | {"ecr:GetAuthorizationToken": {"*"}}
    log = {f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/shop:*"}
    assert allowed(aws, shop.names["FunctionRole"]) == read | {"logs:CreateLogStream": log, "logs:PutLogEvents": log}


@pytest.mark.parametrize(
    ("role", "trusted"),
    [
        ("TrainerRole", {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}),
        ("ServiceRole", {"Service": ["ecs-tasks.amazonaws.com", "ec2.amazonaws.com"]}),
        ("FunctionRole", {"Service": "lambda.amazonaws.com"}),
    ],
)
def test_a_role_trusts_whom_it_is_for(aws: Client, shop: Stack, role: str, trusted: dict[str, Any]) -> None:
    (statement,) = aws("iam").get_role(RoleName=shop.names[role])["Role"]["AssumeRolePolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"], statement["Principal"]) == ("Allow", "sts:AssumeRole", trusted)


def test_a_function_is_made_only_when_it_has_an_image(aws: Client, plain: Stack, shop: Stack) -> None:
    assert set(shop.names) - set(plain.names) == {"Function", "FunctionRole", "FunctionLog"}
    assert [each["FunctionName"] for each in aws("lambda").list_functions()["Functions"]] == ["shop"]
    made = aws("lambda").get_function(FunctionName="shop")
    told = made["Configuration"]
    assert (told["MemorySize"], told["Timeout"]) == (2048, 60)
    assert (declared("Function")["PackageType"], declared("Function")["EphemeralStorage"]) == ("Image", {"Size": {"Ref": "FunctionDisk"}})
    assert made["Code"]["ImageUri"] == IMAGE
    assert told["Role"].endswith(f"/{shop.names['FunctionRole']}")
    assert told["Environment"]["Variables"] == {
        "CORTEX_REC_RELEASES": f"s3://{shop.names['Releases']}/night",
        "CORTEX_REC_RELEASE": "production",
        "CORTEX_REC_KEYS": KEYS,
    }
    (group,) = aws("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]
    assert (group["logGroupName"], group["retentionInDays"]) == ("/aws/lambda/shop", 14)


def test_all_that_moto_can_make_was_made_and_the_rest_is_known(aws: Client, shop: Stack) -> None:
    assert set(shop.names) == set(template()["Resources"]) - NOT_IN_MOTO


def test_what_moto_cannot_make_is_written_as_it_should_be() -> None:
    resources = {name: declared(name) for name in NOT_IN_MOTO}
    (tls,) = resources["ReleasesPolicy"]["PolicyDocument"]["Statement"]
    assert (tls["Effect"], tls["Principal"], tls["Action"]) == ("Deny", "*", "s3:*")
    assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert tls["Resource"] == [{"Fn::GetAtt": ["Releases", "Arn"]}, {"Fn::Sub": "${Releases.Arn}/*"}]

    assert resources["FunctionUrl"]["AuthType"] == {"Ref": "FunctionUrlAuth"}
    assert template()["Parameters"]["FunctionUrlAuth"]["Default"] == "AWS_IAM"
    for name, action in (("AnyoneMayCallTheUrl", "lambda:InvokeFunctionUrl"), ("AnyoneMayInvokeByTheUrl", "lambda:InvokeFunction")):
        assert template()["Resources"][name]["Condition"] == "IsOpen"
        assert (resources[name]["Action"], resources[name]["Principal"]) == (action, "*")

    told = resources["Budget"]["NotificationsWithSubscribers"]
    assert [(each["Notification"]["NotificationType"], each["Notification"]["Threshold"]) for each in told] == [
        ("ACTUAL", 80),
        ("FORECASTED", 100),
    ]
    assert all(each["Subscribers"] == [{"SubscriptionType": "EMAIL", "Address": {"Ref": "BudgetEmail"}}] for each in told)
