"""`karaula inventory import`: tables as people have them, hostile files, and an inventory that nobody reformats."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from console.main import karaula
from monitor.yamlfile import parse

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (ROOT / "inventory.yaml").read_bytes()
HOSTS = "key,site,address,port,user,credential\n"
HOST = "web-9,main,10.0.0.9,22,karaula,ssh-karaula\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "inventory.yaml").write_bytes(SHIPPED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return tmp_path


def bring(*words: str) -> Result:
    return CliRunner().invoke(karaula, ["inventory", "import", *words], catch_exceptions=False)


def table(text: str | bytes, name: str = "t.csv") -> str:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


# -- what people do --------------------------------------------------------------------------------------------------


def test_a_table_of_hosts_is_printed_as_yaml(folder: Path) -> None:
    result = bring("csv", table(HOSTS + HOST), "--section", "hosts")
    assert result.stdout == (
        "hosts:\n  web-9: { site: main, address: 10.0.0.9, port: 22, user: karaula, credential: ssh-karaula }\n"
    )
    assert result.exit_code == 0


def test_a_balkan_excel_with_its_links_goes_into_the_inventory_and_nothing_else_moves(folder: Path) -> None:
    rows = (
        "sep=;\r\nName;Neighbour;Kind;"
        "links.primary.operator;links.primary.far_end;links.backup.operator;links.backup.far_end\r\n"
        "Волково друм;Косово;road;operator-a;10.0.0.1;operator-b;10.0.0.2\r\n"
        '"Jažince; ""nova""";Kosovo;road;operator-c;10.1.0.1;operator-d;10.1.0.2\r\n'
    )
    result = bring("csv", table("\ufeff" + rows), "--section", "crossings", "--into", "inventory.yaml")
    assert result.stderr.startswith("4 added, 0 there already, 0 there and different; the file as it was: ")
    after = (folder / "inventory.yaml").read_text()
    before = SHIPPED.decode()
    kept = [line for line in after.splitlines() if line in set(before.splitlines())]
    assert kept == before.splitlines()
    added = [line for line in after.splitlines() if line not in set(before.splitlines())]
    assert added[0] == "  volkovo-drum: { name: Волково друм, neighbour: Косово, kind: road }"
    assert added[1] == '  jazince-nova: { name: "Jažince; \\"nova\\"", neighbour: Kosovo, kind: road }'
    assert (folder / "inventory.yaml.bak").read_bytes() == SHIPPED
    again = bring("csv", "t.csv", "--section", "crossings", "--into", "inventory.yaml")
    assert again.stderr == "0 added, 4 there already, 0 there and different; nothing is written\n"


def test_a_dry_run_shows_a_diff_and_writes_nothing(folder: Path) -> None:
    name = table(HOSTS + HOST)
    result = bring("csv", name, "--section", "hosts", "--into", "inventory.yaml", "--dry-run")
    lines = [line for line in result.stdout.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert lines == ["+  web-9: { site: main, address: 10.0.0.9, port: 22, user: karaula, credential: ssh-karaula }"]
    assert (folder / "inventory.yaml").read_bytes() == SHIPPED
    assert sorted(path.name for path in folder.iterdir()) == ["inventory.yaml", "t.csv"]


def test_a_key_that_is_there_stays_and_how_it_differs_is_said(folder: Path) -> None:
    name = table(HOSTS + "vault-dr,dr,10.9.9.9,2222,karaula,ssh-karaula\n" + HOST)
    result = bring("csv", name, "--section", "hosts", "--into", "inventory.yaml")
    assert result.stderr.startswith(
        "hosts.vault-dr is there already and stays: address is '127.80.2.30', not '10.9.9.9'\n1 added, "
    )
    assert b"10.9.9.9" not in (folder / "inventory.yaml").read_bytes()


def test_numbers_words_and_lists_become_what_the_model_asks_for(folder: Path) -> None:
    text = (
        "name;site;quantity;unit;source.protocol;source.address;source.port;source.unit_id;source.register_address;"
        "source.scale;source.sentinels;thresholds.valid_min;thresholds.valid_max;thresholds.warn_above\n"
        "Rack 09;main;temperature;celsius;modbus;192.0.2.7;502;1;4;0,1;-1|6553,5;-20;80;27,5\n"
    )
    result = bring("csv", table(text), "--section", "sensors", "--into", "inventory.yaml")
    assert result.exit_code == 0, result.output
    made = parse((folder / "inventory.yaml").read_bytes(), "i").data["sensors"]["rack-09"]
    numbers = {"port": 502, "unit_id": 1, "register_address": 4, "scale": 0.1, "sentinels": [-1, 6553.5]}
    assert made["source"] == {"protocol": "modbus", "address": "192.0.2.7", **numbers}
    assert made["thresholds"]["warn_above"] == 27.5
    head = "key,primary.operator,primary.far_end,backup.operator,backup.far_end,same_operator_accepted\n"
    result = bring("csv", table(head + "a,operator-a,192.0.2.1,operator-a,192.0.2.2,da\n"), "--section", "links")
    assert result.stdout.endswith("same_operator_accepted: true }\n")
    text = "key,name,members,needed_by\nboth,12,crossing/blace|crossing/jazince,\n"
    result = bring("csv", table(text), "--section", "groups")
    assert result.stdout == 'groups:\n  both: { name: "12", members: [crossing/blace, crossing/jazince] }\n'


def test_what_is_the_same_everywhere_is_given_once(folder: Path) -> None:
    fixed = ("--set", "user=karaula", "--set", "port=22", "--set", "credential=ssh-karaula", "--set", "site=dr")
    result = bring("csv", table("key\taddress\nweb-9\t10.0.0.9\n"), "--section", "hosts", *fixed)
    assert "web-9: { user: karaula, port: 22, credential: ssh-karaula, site: dr, address: 10.0.0.9 }" in result.stdout


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1250"])
def test_encodings_of_windows(folder: Path, encoding: str) -> None:
    raw = "name;neighbour;kind\r\nŠkofja Žaba;Kosovo;road\r\n".encode(encoding)
    named = ("--encoding", "cp1250") if encoding == "cp1250" else ()
    result = bring("csv", table(raw), "--section", "crossings", *named)
    assert "skofja-zaba: { name: Škofja Žaba, neighbour: Kosovo, kind: road }" in result.stdout
    if named:
        refused = bring("csv", table(raw), "--section", "crossings")
        assert refused.exit_code == 1
        assert refused.stderr.startswith("t.csv:2:1: this byte is not UTF-8; name it: --encoding cp1250")


# -- what is wrong is said at its place, and nothing is written ------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HOSTS + "web-9,main,10.0.0.9,22x,karaula,ssh-karaula\n",
         "t.csv:2:21: hosts.web-9.port: expected a whole number, found '22x'"),
        (HOSTS + "web-9,mian,10.0.0.9,22,karaula,ssh-karaula\n",
         "t.csv:2:7: hosts.web-9.site: unknown site 'mian'; did you mean 'main'?"),
        (HOSTS + "Web 9,main,10.0.0.9,22,karaula,k\n", "t.csv:2:1: hosts.Web 9: a key has lower-case letters"),
        (HOSTS + HOST + HOST, "t.csv:3:1: hosts.web-9: the key 'web-9' is that of line 2; remove one"),
        (HOSTS + HOST + HOST.replace("main", "dr"),
         "t.csv:3:1: hosts.web-9: the key 'web-9' is that of line 2; give one of them another key"),
        (HOSTS + "web-9,main\n", "t.csv:2:1: 2 cells, and the header has 6 columns"),
        (HOSTS + ",main,10.0.0.9,22,karaula,k\n",
         "t.csv:2:1: no key can be made for this row; add a column 'key'"),
        ("key,adress\n", "t.csv:1:5: hosts has no 'adress'; did you mean 'address'?"),
        ("key,site,site\n", "t.csv:1:10: the column 'site' stands here twice"),
        ("key,,site\n", "t.csv:1:5: this column has no name"),
        (HOSTS + "=cmd|' /C calc'!A0,dr,10.0.0.9,22,k,k\n",
         "t.csv:2:1: this is a formula: '=cmd|' /C calc'!A0'; paste it as a value"),
        (HOSTS + "a,dr,#N/A,22,k,k\n",
         "t.csv:2:6: the spreadsheet says '#N/A' here; mend the formula, or leave the cell empty"),
        (HOSTS + 'a,dr,"10.0.0.9,22,k,k\n', "t.csv:2:6: the quote that opens here is not closed"),
        (HOSTS + 'a,dr,"10.0.0.9"x,22,k,k\n',
         "t.csv:2:16: expected ',' or the end of the line after the quote, found 'x'"),
        (HOSTS + 'a,dr,"10.0\n.0.9",22,k,k\n',
         "t.csv:2:6: a control character or line break stands in this cell: '10.0\\n.0.9'; remove it"),
        (HOSTS + "a,dr,\x00,22,k,k\n",
         "t.csv:2:6: a control character or line break stands in this cell: '\\x00'; remove it"),
        (HOSTS + f"a,dr,{'x' * 3000},22,k,k\n", "t.csv:2:6: a cell of 3000 characters; 2000 is the most taken"),
        ("", "t.csv:1:1: holds no rows"),
        (b"\xff\xfe\x00", "t.csv:1:3: this byte is not UTF-16"),
        (b"x" * (4 * 1024 * 1024 + 1), "t.csv:1:1: the file is larger than 4 MiB"),
    ],
)  # fmt: skip
def test_every_mistake_has_its_place_and_nothing_is_written(folder: Path, text: str | bytes, said: str) -> None:
    result = bring("csv", table(text), "--section", "hosts", "--into", "inventory.yaml")
    assert result.exit_code == 1, result.output
    assert result.stderr.splitlines()[0].startswith(said)
    assert (folder / "inventory.yaml").read_bytes() == SHIPPED
    assert not (folder / "inventory.yaml.bak").exists()


def test_excels_way_to_keep_leading_zeros_is_understood(folder: Path) -> None:
    result = bring("csv", table(HOSTS + '"=""web-9""",main,10.0.0.9,22,karaula,k\n'), "--section", "hosts")
    assert "web-9:" in result.stdout


def test_a_whole_import_is_refused_when_one_row_is_wrong_and_crossings_need_their_links(folder: Path) -> None:
    text = "name,kind\nOne,road\nTwo,road\n"
    result = bring("csv", table(text), "--section", "crossings", "--into", "inventory.yaml")
    assert result.stderr.splitlines()[0] == "t.csv:2:1: crossings.one: this crossing has no links; add 'one:' to links"
    assert (folder / "inventory.yaml").read_bytes() == SHIPPED


def test_an_inventory_with_mistakes_is_not_added_to(folder: Path) -> None:
    (folder / "inventory.yaml").write_bytes(SHIPPED.replace(b"role: dr,", b"role: drr,"))
    result = bring("csv", table(HOSTS + HOST), "--section", "hosts", "--into", "inventory.yaml")
    assert result.exit_code == 1
    assert result.stderr.startswith("inventory.yaml:")


def test_usage_is_checked(folder: Path) -> None:
    name = table(HOSTS + HOST)
    for words, said in (
        (("csv", name, "--section", "host"), "there is no section 'host'; did you mean 'hosts'?"),
        (("csv", name, "--section", "hosts", "--dry-run"), "--dry-run shows what --into FILE would change"),
        (("csv", name, "--section", "hosts", "--set", "usr=x"), "--set usr: hosts has no 'usr'"),
        (("csv", name, "--section", "hosts", "--set", "user"), "'user' is not NAME=VALUE"),
        (("vcenter", "vc-mian"), "the inventory has no vCenter 'vc-mian'; did you mean 'vc-main'?"),
    ):
        result = bring(*words)
        assert result.exit_code == 2
        assert said in result.stderr
