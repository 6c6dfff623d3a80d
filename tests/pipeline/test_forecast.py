"""Time and memory of a run, told before it."""

import io

from rich.console import Console

from subliminal_mlx.model import gguf, memory, model_folder, sources
from subliminal_mlx.pipeline.forecast import forecast
from subliminal_mlx.report.bars import RunBars
from subliminal_mlx.spec import load_spec


def test_a_language_model_s_run_is_told_and_an_organism_s_is_not():
    told = forecast(load_spec("smollm2-quick"), gflops=140, processes=2)
    assert told.startswith("by estimate: about ") and told.endswith(" GB in each of 2 processes")
    one = forecast(load_spec("smollm2-quick"), gflops=140, processes=1)
    assert one.endswith(" GB in its process")
    assert forecast(load_spec("default"), gflops=140, processes=2) is None


def test_the_wheel_s_shape_is_that_of_its_converted_model(smollm2):
    config = model_folder.config(smollm2.path)
    assert {name: config[name] for name in sources.WHEEL_CONFIG} == sources.WHEEL_CONFIG
    assert gguf.CONVERSION and smollm2.parameters == sources.WHEEL_PARAMETERS
    known = memory.of_config(sources.WHEEL_CONFIG, 4 * sources.WHEEL_PARAMETERS, fp32=True)
    assert known == memory.dimensions(smollm2.path, fp32=True)


def test_it_is_said_once_and_not_of_a_run_that_is_followed():
    said = []
    bars = RunBars(forecast=lambda: said.append("asked") or "by estimate: about a day")
    bars.console = Console(file=io.StringIO())
    progress = {"state": "running", "stages": {}, "running": {}, "seconds": 1.0, "fraction": 0.1}
    bars(progress | {"followed": True, "pid": 1})
    assert not said
    bars(progress)
    bars(progress)
    assert said == ["asked"] and bars.console.file.getvalue().count("about a day") == 1
