#!/usr/bin/python3
"""Makes the messy files of this folder, and expected.json, the table of what becomes of each.

Each entry: file; told (query parameters that the caller states); and either refused (a part of the words) with line
(0: the words name none), or columns, types, rows: values as PostgreSQL's COPY takes them, null for null. format,
encoding, delimiter, quote, header, decimal_comma: what sniffing finds, where the entry says it."""
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
entries = []


def put(name, data):
    with open(os.path.join(HERE, name), "wb") as out:
        out.write(data if isinstance(data, bytes) else data.encode())
    assert name not in [entry["file"] for entry in entries], name


def case(name, data, columns, types, rows, told=None, **found):
    name = name if "." in name else name + ".csv"
    put(name, data)
    columns = columns.split(",") if isinstance(columns, str) else columns
    types = types.split(",")
    assert len(columns) == len(types) and all(len(row) == len(types) for row in rows), name
    entries.append({"file": name, "told": told or {}, **found, "columns": columns, "types": types, "rows": rows})


def refused(name, data, words, line=0, told=None):
    name = name if "." in name else name + ".csv"
    put(name, data)
    entries.append({"file": name, "told": told or {}, "refused": words, "line": line})


def column(name, values, kind, rows=None, **more):
    """One column beside a plain one, so that the delimiter is sure."""
    text = "k;v\n" + "".join(f"{i};{value}\n" for i, value in enumerate(values, 1))
    rows = values if rows is None else rows
    case(name, text, "k,v", "bigint," + kind, [[str(i), v] for i, v in enumerate(rows, 1)], delimiter=";", **more)


PEOPLE = [["1", "Anna", "1.50"], ["2", "Béla", "20.25"], ["3", "Čeněk", "3.00"]]
PEOPLE_TYPES = "bigint,text,numeric"


def people(delimiter=",", end="\n", quote=""):
    lines = [["id", "name", "price"], *PEOPLE]
    return end.join(delimiter.join(quote + field + quote for field in line) for line in lines) + end


def forms():
    for name, delimiter in (("comma", ","), ("semicolon", ";"), ("tab", "\t"), ("pipe", "|")):
        case("delimiter_" + name, people(delimiter), "id,name,price", PEOPLE_TYPES, PEOPLE, delimiter=delimiter,
             quote='"', header=True, format="csv", encoding="utf-8", decimal_comma=False)
    case("delimiter_caret_told", people("^"), "id,name,price", PEOPLE_TYPES, PEOPLE, {"delimiter": "^"})
    case("quoted_delimiters", 'id,place\n1,"Sofia, Bulgaria"\n2,"a;b|c"\n3,"x,y,z"\n', "id,place", "bigint,text",
         [["1", "Sofia, Bulgaria"], ["2", "a;b|c"], ["3", "x,y,z"]], delimiter=",")
    case("quoted_newlines", 'id,note\n1,"one\ntwo\r\nthree"\n2,"\n"\n', "id,note", "bigint,text",
         [["1", "one\ntwo\r\nthree"], ["2", "\n"]], delimiter=",")
    case("doubled_quotes", 'id,says\n1,"say ""hi"", then go"\n2,""""\n', "id,says", "bigint,text",
         [["1", 'say "hi", then go'], ["2", '"']])
    case("backslash_quotes", 'id,says\n1,"say \\"hi, you\\" now"\n2,"c:\\\\dir"\n3,"b"\n', "id,says", "bigint,text",
         [["1", 'say "hi, you" now'], ["2", "c:\\dir"], ["3", "b"]])
    case("backslash_path", 'id,path\n1,"c:\\new\\tab\\"\n2,"d:\\"\n', "id,path", "bigint,text",
         [["1", "c:\\new\\tab\\"], ["2", "d:\\"]])
    case("apostrophe_quotes", "id;note\n1;'a;b'\n2;'c'\n3;'it''s'\n", "id,note", "bigint,text",
         [["1", "a;b"], ["2", "c"], ["3", "it's"]], quote="'", delimiter=";")
    case("apostrophes_within", "id,note\n1,it's\n2,'tis late\n", "id,note", "bigint,text",
         [["1", "it's"], ["2", "'tis late"]], quote='"')
    case("all_quoted", '"id","n"\n"1","5"\n"2",""\n', "id,n", "bigint,bigint", [["1", "5"], ["2", None]])
    case("spaces_around", 'id, name, price\n1, Anna, 1.50\n2, "Béla, jr.", 2\n', "id,name,price", PEOPLE_TYPES,
         [["1", "Anna", "1.50"], ["2", "Béla, jr.", "2"]])
    case("spaces_of_text", "id,name\n1,Anna\n2, Béla\n3,Cyril\n", "id,name", "bigint,text",
         [["1", "Anna"], ["2", " Béla"], ["3", "Cyril"]])
    case("numbers_aligned", "id;n\n1;  12\n2; 123\n3;   7\n", "id,n", "bigint,bigint",
         [["1", "12"], ["2", "123"], ["3", "7"]])
    case("crlf", people(end="\r\n"), "id,name,price", PEOPLE_TYPES, PEOPLE)
    case("cr_only", people(end="\r"), "id,name,price", PEOPLE_TYPES, PEOPLE)
    case("mixed_line_ends", "id,n\n1,2\r\n3,4\r5,6\n", "id,n", "bigint,bigint", [["1", "2"], ["3", "4"], ["5", "6"]])
    case("no_final_newline", people()[:-1], "id,name,price", PEOPLE_TYPES, PEOPLE)
    case("blank_lines", "\n\nid,n\n\n1,2\n\n\n3,4\n\n", "id,n", "bigint,bigint", [["1", "2"], ["3", "4"]])
    case("one_column", "price\n1.5\n2.5\n", "price", "numeric", [["1.5"], ["2.5"]], header=True)
    case("one_column_prose", "note\nHello, world\nNothing here\nOne, two, three\n", "note", "text",
         [["Hello, world"], ["Nothing here"], ["One, two, three"]])
    case("one_row", "1,2,x\n", "c1,c2,c3", "bigint,bigint,text", [["1", "2", "x"]], header=False)
    case("header_only", "id,name,price\n", "id,name,price", "text,text,text", [], header=True)
    case("empty_last_column", "id,n,note\n1,2,\n3,4,\n", "id,n,note", "bigint,bigint,text",
         [["1", "2", None], ["3", "4", None]])
    case("trailing_delimiters", "id,n,\n1,2,\n3,4,\n", "id,n,c3", "bigint,bigint,text",
         [["1", "2", None], ["3", "4", None]], header=True)
    case("index_column", ",n\n0,5\n1,6\n", "c1,n", "bigint,bigint", [["0", "5"], ["1", "6"]], header=True)
    case("header_absent", "1,Anna,1.5\n2,Bo,2.5\n", "c1,c2,c3", PEOPLE_TYPES, [["1", "Anna", "1.5"], ["2", "Bo", "2.5"]],
         header=False)
    case("header_absent_texts_told", "Anna,Sofia\nBo,Varna\n", "c1,c2", "text,text", [["Anna", "Sofia"], ["Bo", "Varna"]],
         {"header": "false"}, header=False)
    case("header_of_texts", "name,city\nAnna,Sofia\nBo,Varna\n", "name,city", "text,text",
         [["Anna", "Sofia"], ["Bo", "Varna"]], header=True)
    case("header_of_years", "country,2019,2020,2021\nDE,1.5,2.5,3\nFR,4,5,6.5\n", "country,2019,2020,2021",
         "text,numeric,numeric,numeric", [["DE", "1.5", "2.5", "3"], ["FR", "4", "5", "6.5"]], header=True)
    case("header_of_letters", "t,x,y\n0,1.5,2\n1,1.6,3\n", "t,x,y", "bigint,numeric,bigint",
         [["0", "1.5", "2"], ["1", "1.6", "3"]], header=True)
    case("title_lines", "Report of sales\nmade 2021-10-02\n\nid;n\n1;2\n", "id,n", "bigint,bigint", [["1", "2"]],
         {"skip_lines": "3"})
    refused("title_lines_not_told", "Report of sales\nid;n;m\n1;2;3\n4;5;6\n", "has 3 fields", 2)
    refused("ragged_short", "a,b,c\n1,2,3\n4,5\n6,7,8\n", "has 2 fields, 3 are expected", 3)
    refused("ragged_long", "a,b,c\n1,2,3\n6,7,8\n4,5,6,7\n", "has 4 fields, 3 are expected", 4)
    refused("empty", "", "empty")
    refused("white_space", " \n\t\n  ", "empty")
    refused("quote_never_closed", 'a,b\n1,x\n2,"y\n3,z\n4,w\n', "never closed", 3)
    refused("behind_the_quote", 'a,b\n1,"x"y\n2,"z"\n', "behind the closing quote", 2)


def encodings():
    umlauts = "id,ort\n1,München\n2,Österreich – groß\n"
    rows = [["1", "München"], ["2", "Österreich – groß"]]
    for name, encoding, mark in (("utf8_mark", "utf-8", b"\xef\xbb\xbf"), ("utf16le_mark", "utf-16le", b"\xff\xfe"),
                                 ("utf16be_mark", "utf-16be", b"\xfe\xff"), ("utf16le_bare", "utf-16le", b""),
                                 ("utf16be_bare", "utf-16be", b""), ("windows_1252", "windows-1252", b"")):
        case(name, mark + umlauts.encode(encoding), "id,ort", "bigint,text", rows, encoding=encoding)
    cyrillic = "ид;град\n1;София\n2;Варна и Бургас\n"
    case("utf16_cyrillic", cyrillic.encode("utf-16le"), "ид,град", "bigint,text",
         [["1", "София"], ["2", "Варна и Бургас"]], encoding="utf-16le")
    case("utf8_broken", b"id,name\n1,caf\xe9\n2,x\n", "id,name", "bigint,text", [["1", "café"], ["2", "x"]],
         encoding="windows-1252")
    refused("utf8_with_latin1_line", "id,name\n1,é\n2,ü\n3,ß\n".encode() + b"4,caf\xe9\n", "no UTF-8", 5)
    refused("utf8_told_and_broken", b"id,name\n1,x\n2,caf\xe9\n", "no UTF-8", 3, {"encoding": "utf-8"})
    refused("nul", b"id,name\n1,x\n2,a\0b\n", "NUL", 3)
    refused("utf16_half_pair", b"\xff\xfe" + "id,n\n1,".encode("utf-16le") + b"\x00\xd8" + "\n".encode("utf-16le"),
            "surrogate", 2)
    case("emoji_names", "🌡️,💶\n1,2.5\n3,4.5\n", "🌡️,💶", "bigint,numeric", [["1", "2.5"], ["3", "4.5"]])


def names():
    long = "ü" * 50
    case("sql_keywords", 'select,from,"order by",user\n1,2,3,4\n', ["select", "from", "order by", "user"],
         "bigint,bigint,bigint,bigint", [["1", "2", "3", "4"]])
    case("long_names", f"{long}a,{long}b,x\n1,2,3\n", [long[:31], long[:30] + "_2", "x"], "bigint,bigint,bigint",
         [["1", "2", "3"]])
    case("names_by_case", "id,ID,Id\n1,2,3\n", "id,ID,Id", "bigint,bigint,bigint", [["1", "2", "3"]])
    refused("duplicate_names", "id,n,id\n1,2,3\n", "both called", 1)
    refused("duplicate_names_padded", 'id," id "\n1,2\n', "both called", 1)
    refused("reserved_name", "id,ctid\n1,2\n", "keeps for itself", 1)
    refused("columns_1501", ",".join(f"n{i}" for i in range(1501)) + "\n" + ",".join("1" * 1501) + "\n", "1501 columns", 1)
    refused("name_with_line_end", '"a\nb",n\nx,2\n', "control character", 1)


def numbers():
    column("leading_zeros", ["007", "008", "010"], "text")
    column("plus_sign", ["+1", "2", "3"], "text")
    column("minus_zero", ["-0", "2"], "text")
    column("minus", ["-1", "-9223372036854775808", "0"], "bigint")
    column("bigint_most", ["1", "9223372036854775807"], "bigint")
    column("past_bigint", ["1", "9223372036854775808"], "numeric")
    column("past_float", ["0.1234567890123456789012345", "123456789012345678901234567890"], "numeric")
    column("trailing_zero", ["0.10", "1.00", "2"], "numeric")
    column("no_leading_digit", [".5", "-.25"], "numeric")
    column("exponent_doubtful", ["12e4", "34", "1e5"], "text")
    column("exponent", ["1e5", "1.5e-3", "2E+10"], "numeric")
    column("exponent_too_great", ["1.5", "1e99999"], "text")
    column("thousands_point", ["1,234.56", "12", "1,234"], "numeric", ["1234.56", "12", "1234"])
    column("thousands_doubtful", ["1,234", "5,678"], "text")
    column("decimal_comma", ["1,5", "-0,25", "1.234.567,89"], "numeric", ["1.5", "-0.25", "1234567.89"],
           decimal_comma=True)
    column("decimal_comma_spaces", ["1 234,5", "12\u00a0345,25", "7"], "numeric", ["1234.5", "12345.25", "7"],
           decimal_comma=True)
    case("decimal_comma_quoted", 'id,n\n1,"1,5"\n2,"2,75"\n', "id,n", "bigint,numeric", [["1", "1.5"], ["2", "2.75"]],
         delimiter=",", decimal_comma=True)
    case("decimal_comma_beside_points", "id;n;v\n1;1,5;48.123\n2;2,5;9.177\n", "id,n,v", "bigint,numeric,text",
         [["1", "1.5", "48.123"], ["2", "2.5", "9.177"]], decimal_comma=True)
    column("percent", ["5%", "10%"], "text")
    column("currency", ["€5.00", "$7"], "text")
    column("nan_and_infinity", ["1.5", "Infinity", "2"], "text")
    column("hexadecimal", ["0x1F", "0x20"], "text")


def booleans():
    column("true_false", ["true", "false", "true"], "boolean", ["t", "f", "t"])
    column("yes_no", ["Yes", "No"], "boolean", ["t", "f"])
    column("t_and_false", ["t", "false"], "text")
    column("f_alone", ["F", "F"], "text")
    column("zero_one", ["0", "1"], "bigint")


def times():
    iso = ["2021-10-01", "2021-02-28"]
    column("date_iso", ["2021-10-01", "2021/02/28"], "date", iso)
    column("date_dmy", ["01.10.2021", "28.02.2021"], "date", iso)
    column("date_mdy", ["10/1/2021", "2/28/2021"], "date", iso)
    column("date_doubtful", ["01/10/2021", "02/03/2021"], "text")
    column("date_doubtful_told", ["01/10/2021", "02/03/2021"], "date", ["2021-10-01", "2021-03-02"],
           told={"date_order": "dmy"})
    column("date_both_orders", ["13/10/2021", "10/13/2021"], "text")
    column("date_impossible", ["31.02.2021", "28.02.2021"], "text")
    column("date_compact", ["20211001", "20211002"], "bigint")
    column("date_leap", ["2024-02-29", "2000-02-29"], "date")
    column("date_no_leap", ["2023-02-29", "1900-02-29"], "text")
    column("timestamp", ["2021-10-01 10:00:00", "2021-10-01T23:59"], "timestamp",
           ["2021-10-01 10:00:00", "2021-10-01 23:59:00"])
    column("timestamp_digits_6", ["2021-10-01 10:00:00.123456", "2021-10-01 10:00:00.5"], "timestamp")
    column("timestamp_digits_7", ["2021-10-01 10:00:00.1234567", "2021-10-01 10:00:00"], "text")
    column("timestamp_zone", ["2021-10-01T10:00:00Z", "2021-10-01 10:00:00.25+05:30"], "timestamptz",
           ["2021-10-01 10:00:00+00:00", "2021-10-01 10:00:00.25+05:30"])
    column("timestamp_zone_mixed", ["2021-10-01T10:00:00Z", "2021-10-01T10:00:00"], "text")
    column("timestamp_24", ["2021-10-01 24:00:00", "2021-10-01 00:00:00"], "text")
    column("timestamp_dmy", ["28.02.2021 9:05", "01.03.2021 10:00"], "timestamp",
           ["2021-02-28 09:05:00", "2021-03-01 10:00:00"])
    column("dates_and_times", ["2021-10-01", "2021-10-01 10:00:00"], "text")


def nulls():
    for name, word in (("na", "NA"), ("null", "NULL"), ("backslash_n", "\\N"), ("dash", "-"), ("nan", "nan")):
        column("null_" + name, ["1.5", word, "2.5"], "numeric", ["1.5", None, "2.5"])
    column("null_word_of_texts", ["Anna", "NULL", "Bo"], "text")
    column("null_told", ["1", "missing", "3"], "bigint", ["1", None, "3"], told={"null": "missing"})
    case("quoted_empty", 'id,name\n1,""\n2,\n3,x\n', "id,name", "bigint,text", [["1", ""], ["2", None], ["3", "x"]])
    case("quoted_empty_of_numbers", 'id,n\n1,5\n2,""\n', "id,n", "bigint,text", [["1", "5"], ["2", ""]])
    column("nulls_alone", ["", "", ""], "text", [None, None, None])


def json_files():
    case("objects.ndjson", '{"id": 1, "name": "x", "v": 1.50}\n{"id": 2, "v": null}\n{"v": 2, "id": 3, "late": true}\n',
         "id,name,v,late", "bigint,text,numeric,boolean",
         [["1", "x", "1.50", None], ["2", None, None, None], ["3", None, "2", "t"]], format="ndjson")
    case("objects.json", '[\n  {"id": 1, "day": "2021-10-01"},\n  {"id": 2}\n]\n', "id,day", "bigint,date",
         [["1", "2021-10-01"], ["2", None]], format="json")
    case("single_object.json", '{\n  "id": 1,\n  "name": "x"\n}\n', "id,name", "bigint,text", [["1", "x"]], format="json")
    case("nested.ndjson", '{"id": 1, "tags": ["a", "b\\\\c"]}\n{"id": 2, "tags": {"x": 1.10}}\n', "id,tags",
         "bigint,jsonb", [["1", '["a","b\\\\c"]'], ["2", '{"x":1.10}']], format="ndjson")
    case("mixed_kinds.ndjson", '{"v": 1}\n{"v": "x"}\n{"v": true}\n', "v", "text", [["1"], ["x"], ["true"]])
    case("mixed_with_json.ndjson", '{"v": [1]}\n{"v": "x"}\n{"v": 2}\n', "v", "jsonb", [["[1]"], ['"x"'], ["2"]])
    case("numbers_in_texts.ndjson", '{"v": "007"}\n{"v": "12"}\n', "v", "text", [["007"], ["12"]])
    case("exponent.ndjson", '{"v": 1e5}\n{"v": 2}\n', "v", "numeric", [["1e5"], ["2"]])
    refused("duplicate_members.ndjson", '{"a": 1}\n{"a": 1, "a": 2}\n', "more than one member", 2)
    refused("cut_array.json", '[{"a": 1},\n{"a": 2}', "does not end", 2)
    refused("line_is_no_object.ndjson", '{"a": 1}\n[2]\n', "", 2)
    refused("array_of_numbers.json", "[1, 2, 3]\n", "an object is wanted", 1)


def others():
    refused("zip", b"PK\x03\x04\x14\x00\x00\x00\x08\x00", "zip")
    refused("xlsx", b"PK\x03\x04\x14\x00\x06\x00" + b"\0" * 16 + b"xl/workbook.xml", "xlsx")
    refused("parquet", b"PAR1\x15\x04\x15\x10PAR1", "Parquet")
    refused("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00", "gzip")
    refused("pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF")
    refused("html", "<!DOCTYPE html>\n<html><body>Log in, please</body></html>\n", "HTML")


for make in (forms, encodings, names, numbers, booleans, times, nulls, json_files, others):
    make()
with open(os.path.join(HERE, "expected.json"), "w", encoding="utf-8") as out:
    out.write("[\n" + ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries) + "\n]\n")
print(len(entries), "files")
