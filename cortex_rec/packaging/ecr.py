"""Amazon's registry: a repository with immutable tags, and the password for it."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from cortex_rec.errors import RegistryError

#: Images that the repository keeps; the lifecycle policy removes older ones.
KEPT: Final = 20
_LIFECYCLE: Final = {
    "rules": [
        {
            "rulePriority": 1,
            "description": f"keep the newest {KEPT}",
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": KEPT},
            "action": {"type": "expire"},
        }
    ]
}


@dataclass(frozen=True)
class Login:
    """Who may push where; the password is in no `repr`, log or traceback."""

    registry: str
    user: str
    password: str = field(repr=False)


def login() -> Login:
    """Ask for the registry of the account, and a password for twelve hours.

    Raises
    ------
    RegistryError
        If there are no credentials, or AWS refuses or does not answer.
    """
    with _explained("cannot log in"):
        (given,) = _client().get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
    return Login(urlsplit(given["proxyEndpoint"]).netloc, user, password)


def ensure_repository(name: str) -> bool:
    """Create the repository unless it is there: tags that never change, a scan on every push, the newest `KEPT` images kept.

    Returns
    -------
    bool
        Whether it was created. One that is there is left as it is: its settings are its owner's.

    Raises
    ------
    RegistryError
        As of `login`.
    """
    client = _client()
    with _explained(f"cannot create the repository {name!r}"):
        try:
            client.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE", imageScanningConfiguration={"scanOnPush": True})
        except client.exceptions.RepositoryAlreadyExistsException:
            return False
        client.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=json.dumps(_LIFECYCLE))
    return True


def _client() -> Any:
    import boto3

    with _explained("cannot be asked"):
        return boto3.Session().client("ecr")


@contextmanager
def _explained(what: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

    try:
        yield
    except NoCredentialsError as error:
        raise RegistryError(
            f"ECR {what}: AWS has no credentials here. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this "
            "machine a role."
        ) from error
    except NoRegionError as error:
        raise RegistryError(f"ECR {what}: no region is set. Set AWS_REGION, for example AWS_REGION=eu-central-1.") from error
    except ClientError as error:
        raise RegistryError(
            f"ECR {what}: {error.response['Error'].get('Message', error)}. docs/packaging.md lists the permissions."
        ) from error
    except BotoCoreError as error:
        raise RegistryError(f"ECR {what}: {error}") from error
