"""Reports made up for tests of what is shown of them."""

from bench.loads import make_loads
from bench.report import LoadReport, report
from bench.rounds import Measured
from bench.samples import Sample


def sample(rate: float, **changes) -> Sample:
    values = {"p50_ms": 1.0, "p99_ms": 2.0, "failed": 0, "cpu_us": {"server": 5.0}, "peak_mib": {"server": 30.0}}
    values["growth_kib"] = {"server": 12.0, "client": 13.0, "upstream": 2.0}
    return Sample(rate=rate, **values | changes)


def report_of(name: str = "get-50", failed: dict[str, str] | None = None, **samples: list[Sample]) -> LoadReport:
    return report(Measured(make_loads(large_mib=1)[name], samples, failed or {}))
