"""The script that counts how many places one change takes."""

from __future__ import annotations

import house_numbers
import pytest

FILES = {
    "app/lab/run/a.py": 'target = plan.strategy["client"]\nname = strategy.get("name")\n',
    "app/lab/run/b.py": "strategy = read(strategy)\nrate_rps = 1\n",
    "app/lab/pb/c.py": 'strategy["client"]\n',
    "app/lab/views/d.py": 'cell.rps\nif cluster == "kind":\n    pass\n',
    "roles/load/tasks/main.yml": "kind: Pod\nname: envoy-random-2\n",
    "strategies/envoy-random.yaml": "name: envoy-random\n",
    "scenarios/kill.yaml": "expect: {envoy-random: even}\n",
    "scenarios/fail.yaml": "expect: {envoy: even}\n",
    "tests/unit/test_it.py": "strategy[0]\n",
}


@pytest.fixture
def checkout(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_what_is_counted(checkout):
    found = {number.what.strip(): (number.places, number.files) for number in house_numbers.numbers(checkout)}
    assert found["files that read a strategy's dict by its keys"] == (1, ["app/lab/run/a.py"])
    assert found["and places in them"] == (2, [])
    named = ["strategies/envoy-random.yaml", "scenarios/kill.yaml"]
    assert found["files that name one strategy (the median of all), scenarios included"] == (2, named)
    assert found["files that name one figure of the cells, calls a second"] == (1, ["app/lab/views/d.py"])
    assert found["files that know of the provider kind"] == (1, ["app/lab/views/d.py"])
    assert found["Python files in the largest folder of app/"] == (2, ["app/lab/run"])
    assert found["lines of Python in app/, with what protobuf generates"] == (8, [])
    assert found["and without"] == (7, [])


def test_checkouts_stand_side_by_side_and_what_is_none_is_refused(checkout, capsys):
    assert house_numbers.main([str(house_numbers.REPO)] * 2) == 0
    assert all(len(line.rsplit(None, 2)) == 3 for line in capsys.readouterr().out.splitlines())
    with pytest.raises(SystemExit) as ended:
        house_numbers.main([str(checkout / "app")])
    assert ended.value.code == 2
    assert "is no checkout of the lab; allowed is a folder with app and strategies" in capsys.readouterr().err
