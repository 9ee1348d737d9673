"""`dialect="sniff"`: what a file's first rows look like."""

import dlt.sources.filesystem as dlts
import headrace.sources.filesystem as ours
import pytest
from headrace._files.csv_dialect import sniff
from oracle import make_pipeline, read_tables


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("a,b\n1,2.5\n3,4.5\n", (",", '"', ".", None, True)),
        ("a;b\n1;2,5\n3;1.004,5\n", (";", '"', ",", ".", True)),
        ("a|b\n'x|y'|1\n'z'|2\n", ("|", "'", ".", None, True)),
        ("1\t2\n3\t4\n", ("\t", '"', ".", None, False)),
        ('a,b\n"1,234.5",x\n"2,000.25",y\n', (",", '"', ".", ",", True)),
        ("name,city\nx,y\nz,w\n", (",", '"', ".", None, True)),
        ('a,b\n"x\ny;z",1\n"p;q;r",2\n', (",", '"', ".", None, True)),
        ("one\ntwo\n", (",", '"', ".", None, True)),
        ("", (",", '"', ".", None, True)),
    ],
)
def test_what_is_found(text, want):
    for data in (text.encode(), text.encode("utf-16"), text.encode("utf-8-sig")):
        found = sniff(data, True)
        assert found[:5] == want
        assert 0 <= found.confidence <= 1 and 0 <= found.header_confidence <= 1


def test_files_of_different_dialects(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.csv").write_text("id;price\n1;1.000,5\n2;7,25\n")
    (folder / "b.csv").write_text("id,price\n3,4.5\n")
    pipeline = make_pipeline(tmp_path, "sniffed")
    pipeline.run(dlts.filesystem(str(folder), file_glob="*.csv") | ours.read_csv(dialect="sniff"))
    assert len(list(dlts.filesystem(str(folder), file_glob="b.csv") | ours.read_csv(dialect="sniff"))) == 1  # by pandas
    rows = read_tables(pipeline)["_read_csv"]
    assert sorted((row["id"], row["price"]) for row in rows) == [(1, 1000.5), (2, 7.25), (3, 4.5)]
