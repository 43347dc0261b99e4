"""What CORTEX-Rec costs a month on AWS, in three sizes, and how each line is computed: `make bench NAME=aws-costs`.

Prices are list prices of us-east-1 in US dollars as the sources beside them told, without the free tier, taxes and discounts. They change:
look at each service's price page. What this repository measured stands beside them, with the command that measured it; put your own there.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks.harness import Benchmark

HOURS: Final = 730


@dataclass(frozen=True)
class Price:
    """US dollars for one unit, where that was read, and as of when."""

    dollars: float
    unit: str
    source: str


PRICES: Final = {
    "lambda_gb_second": Price(0.0000166667, "GB-second, x86", "cloudchipr.com/blog/aws-lambda-pricing, 2024"),
    "lambda_request": Price(0.20 / 1e6, "request", "AWS whitepaper 'How AWS Pricing Works', Lambda"),
    "fargate_vcpu_hour": Price(0.04048, "vCPU-hour, Linux x86", "wring.co/blog/aws-fargate-pricing-guide, March 2026"),
    "fargate_gb_hour": Price(0.004445, "GB-hour", "wring.co/blog/aws-fargate-pricing-guide, March 2026"),
    "balancer_hour": Price(0.0225, "hour of an application load balancer", "cloud-horizons.com/blog, May 2026"),
    "balancer_lcu_hour": Price(0.008, "LCU-hour", "cloud-horizons.com/blog, May 2026"),
    "redis_hour": Price(0.017, "hour of a cache.t3.micro of ElastiCache", "dragonflydb.io/finops/elasticache"),
    "address_hour": Price(0.005, "hour of a public IPv4 address", "nwobodo.me/notes, June 2024"),
    "s3_gb_month": Price(0.023, "GB-month, S3 Standard", "cloudburn.io/blog/amazon-s3-pricing, March 2026"),
    "s3_put": Price(0.005 / 1e3, "PUT", "devnotes.tech/understanding-aws-s3-pricing"),
    "s3_get": Price(0.0004 / 1e3, "GET", "devnotes.tech/understanding-aws-s3-pricing"),
    "ecr_gb_month": Price(0.10, "GB-month", "cloudburn.io/blog/amazon-ecr-pricing, March 2026"),
    "logs_gb": Price(0.50, "GB of logs taken in", "help-toolz.com/blog, CloudWatch Logs"),
    "egress_gb": Price(0.09, "GB to the internet", "wring.co/blog/aws-ecr-pricing-guide, March 2026"),
}


@dataclass(frozen=True)
class Measured:
    """What one release and its service need; the default's values are those of the Complete Journey release.

    Parameters
    ----------
    release_gb, release_files
        Size on the disk, and the number of its files.
    image_gb
        Compressed.
    warm_seconds, cold_seconds
        Of a Lambda function: one request, and the start with the release from S3. A core to itself is a little quicker.
    answer_kb, log_kb
        Ten items with their reasons; a request's lines in the log, the function's own reports among them (an estimate).
    """

    release_gb: float
    release_files: int
    image_gb: float
    warm_seconds: float
    cold_seconds: float
    answer_kb: float
    log_kb: float


@dataclass(frozen=True)
class Size:
    """How much is asked, and what answers.

    Parameters
    ----------
    requests
        A month.
    cold_starts
        A month; of a function only.
    function_gb
        Memory of the function; 0 for none.
    tasks, vcpu, task_gb
        Of Fargate.
    kept_releases, kept_images
        How many lie in the bucket and in the repository.
    balanced, redis
        Whether there is a load balancer, and a Redis.
    """

    requests: int
    cold_starts: int = 0
    function_gb: float = 0
    tasks: int = 0
    vcpu: float = 0
    task_gb: float = 0
    kept_releases: int = 7
    kept_images: int = 3
    balanced: bool = False
    redis: bool = False


SIZES: Final = {
    "hobby: one function": Size(30_000, cold_starts=1_500, function_gb=1769 / 1024),
    "small shop: one task": Size(1_000_000, tasks=1, vcpu=1, task_gb=2),
    "medium: two tasks, balancer, Redis": Size(20_000_000, tasks=2, vcpu=1, task_gb=2, balanced=True, redis=True),
}
NIGHTS: Final = 30
#: `make bench NAME=lambda-demo` (of a warm request the processor's seconds) and `make bench NAME=image`, on the Complete Journey release.
MEASURED: Final = Measured(
    release_gb=0.218, release_files=45, image_gb=0.399, warm_seconds=0.032, cold_seconds=3.7, answer_kb=3.13, log_kb=0.5
)


def lines(size: Size, measured: Measured) -> Mapping[str, float]:
    """Dollars a month by what is paid for.

    Training is at home or on a machine that is there already; uploading costs requests, and nothing for what goes in.
    """
    price = {name: each.dollars for name, each in PRICES.items()}
    run_seconds = size.requests * measured.warm_seconds + size.cold_starts * measured.cold_seconds
    fetches = size.cold_starts or size.tasks * NIGHTS
    # A task that is reached by its own address has one; a balancer has one in each of two zones.
    addresses = size.tasks + (2 if size.balanced else 0)
    # An hour's unit is 25 new connections a second or 1 GB; requests of a shop's servers keep their connections.
    units = max(1.0, size.requests * measured.answer_kb / 1e6 / HOURS)
    return {
        "function": size.function_gb
        and run_seconds * size.function_gb * price["lambda_gb_second"] + size.requests * price["lambda_request"],
        "tasks": HOURS * size.tasks * (size.vcpu * price["fargate_vcpu_hour"] + size.task_gb * price["fargate_gb_hour"]),
        "balancer": HOURS * (price["balancer_hour"] + units * price["balancer_lcu_hour"]) if size.balanced else 0.0,
        "redis": HOURS * price["redis_hour"] if size.redis else 0.0,
        "addresses": HOURS * addresses * price["address_hour"],
        "releases": size.kept_releases * measured.release_gb * price["s3_gb_month"]
        # Old versions stay for thirty days; a night's release is put once and read once to be compared.
        + NIGHTS * measured.release_gb * price["s3_gb_month"]
        + measured.release_files * (NIGHTS * price["s3_put"] + fetches * price["s3_get"]),
        "images": size.kept_images * measured.image_gb * price["ecr_gb_month"],
        "log": size.requests * measured.log_kb / 1e6 * price["logs_gb"],
        "answers out": size.requests * measured.answer_kb / 1e6 * price["egress_gb"],
    }


def main() -> None:
    """Print the three sizes, line by line, and the prices."""
    benchmark = Benchmark("aws-costs", seed=0)
    costs = {name: lines(size, MEASURED) for name, size in SIZES.items()}
    rows = [{"method": what} | {name: round(each[what], 2) for name, each in costs.items()} for what in next(iter(costs.values()))]
    total = {"method": "a month, US dollars", "default": True} | {name: round(sum(each.values()), 2) for name, each in costs.items()}
    benchmark.finish([*rows, total], prices={name: asdict(price) for name, price in PRICES.items()}, measured=asdict(MEASURED))


if __name__ == "__main__":
    main()
