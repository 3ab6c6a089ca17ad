"""Reader of .csv files."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import BadSampleError, DataError, EdgekitError, NoDataError
from edgekit_converters.calibration import InputSpec, SampleSource, open_samples

FLAT = InputSpec("features", (1, 3))
GRID = InputSpec("grid", (1, 2, 2))


def opened(tmp_path: Path, text: str, wanted: str = "", spec: InputSpec = FLAT) -> SampleSource:
    (tmp_path / "a.csv").write_bytes(text.encode())
    return open_samples(f"{tmp_path}/a.csv{wanted}", [spec], {})


def values(source: SampleSource) -> list[object]:
    return [sample.inputs["features"].tolist() for sample in source.read(range(source.count()))]


@pytest.mark.parametrize(
    "text",
    [
        "0.5,1,2\n3,4,5\n",
        "a,b,c\n0.5,1,2\n\n3,4,5",
        "\ufeffa;b;c\r\n0.5;1;2\r\n3;4;5\r\n",
        "a\tb\tc\n0.5\t1\t2\n3\t4\t5\n",
        '"a","b","c"\n"0.5",1,2\n3, 4 ,5\n',
        "0,1,2\n0.5,1,2\n3,4,5\n",
    ],
)
def test_common_spellings_read_alike(tmp_path: Path, text: str) -> None:
    source = opened(tmp_path, text)
    assert values(source) == [[0.5, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert (source.raw_dtypes(), source.labels(), source.kind) == ({"features": "float32"}, None, "array")


@pytest.mark.parametrize("wanted", ["", "#class", "#2"])
def test_the_label_column_is_known_by_name_or_number(tmp_path: Path, wanted: str) -> None:
    source = opened(tmp_path, "a,class,b,c\n1.5,2,3,4\n5,0,7,8\n", wanted)
    assert values(source) == [[1.5, 3.0, 4.0], [5.0, 7.0, 8.0]]
    assert list(source.labels() or ()) == [2, 0]


def test_words_are_class_names_and_fractions_are_targets(tmp_path: Path) -> None:
    words = opened(tmp_path, "1.5,2,3,setosa\n4,5,6,rose\n", "#4")
    assert (list(words.labels() or ()), words.class_names()) == ([1, 0], ("rose", "setosa"))
    fractions = opened(tmp_path, "a,b,c,y\n1.5,2,3,0.25\n4,5,6,1\n")
    assert fractions.labels() is None
    assert [sample.label for sample in fractions.read([0, 1])] == [0.25, 1.0]


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("0,255,7\n1,2,3\n", "uint8"),
        ("0,256,7\n1,2,3\n", "int64"),
        ("0,-1,7\n1,2,3\n", "int64"),
        ("0,1.0,7\n1,2,3\n", "float32"),
        ("0,1e30,7\n1,2,3\n", "float32"),
        ("a,b,c,y\n7,8,9,0.5\n1,2,3,1.5\n", "uint8"),
    ],
)
def test_whole_numbers_are_raw_integers(tmp_path: Path, text: str, dtype: str) -> None:
    source = opened(tmp_path, text)
    assert source.raw_dtypes() == {"features": dtype}
    assert {sample.inputs["features"].dtype.name for sample in source.read([0, 1])} == {dtype}


def test_features_take_the_shape_of_the_input_and_rows_are_named_by_line(tmp_path: Path) -> None:
    source = opened(tmp_path, "a,b,c,d\n\n1,2,3,4\n5,6,7,8\n", spec=GRID)
    (sample,) = source.read([1])
    assert sample.inputs["grid"].tolist() == [[5, 6], [7, 8]]
    assert sample.origin == "a.csv line 4"
    assert source.description == "a.csv, 2 rows"


@pytest.mark.parametrize(
    ("text", "wanted", "error", "says"),
    [
        ("a,b,c\n1,2,3\n1,x,3\n", "", BadSampleError, r"a\.csv line 3, column 'b': 'x' is not a number"),
        ("1,2,3\n1,,3\n", "", BadSampleError, r"a\.csv line 2, column 2: the cell is empty"),
        ("1,2,3\n1,2\n", "", BadSampleError, r"a\.csv line 2: has 2 cells, and the first has 3"),
        ("a,b,c,d\n1,2,3,4\n", "", DataError, r"has 4 columns of features and no label column, .* takes 3"),
        ("a,b,y\n1,2,3\n", "", DataError, r"has 2 columns of features besides its label column"),
        ("a,b,c,d\n1,2,3,4\n", "#kind", DataError, r"has no column 'kind'; its columns are: a, b, c, d"),
        ("1,2,3,4\n5,6,7,8\n", "#kind", DataError, r"has no column 'kind'; it has 4 columns and no header"),
        ("1,2,3,4\n5,6,7,8\n", "#5", DataError, r"has no column '5'"),
        ("a,b,c\n", "", NoDataError, r"a\.csv: has no rows"),
        ("", "", NoDataError, r"a\.csv: is empty"),
        ("\n \n", "", NoDataError, r"a\.csv: is empty"),
    ],
)
def test_bad_tables_name_the_line_and_the_column(
    tmp_path: Path, text: str, wanted: str, error: type[EdgekitError], says: str
) -> None:
    with pytest.raises(error, match=says):
        opened(tmp_path, text, wanted)


def test_other_encodings_several_inputs_and_vanished_rows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("grün,b,c\n1,2,3\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.csv: cannot be read"):
        open_samples(tmp_path / "latin.csv", [FLAT], {})
    source = opened(tmp_path, "1,2,3\n4,5,6\n")
    with pytest.raises(DataError, match="several inputs: features, grid"):
        open_samples(tmp_path / "a.csv", [FLAT, GRID], {})
    (tmp_path / "a.csv").write_text("1,2,3\n")
    with pytest.raises(BadSampleError, match="row 1 is gone"):
        list(source.read([1]))
