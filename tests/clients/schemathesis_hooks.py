"""Bodies of the media types that schemathesis has none for: files, good ones and broken ones."""
import schemathesis
from hypothesis import strategies

CSV = [b"id,amount,code\n1,1.5,007\n2,2.25,008\n", b"id;amount;code\n1;1,5;a\n", b"id\n1\n1\n", b"day,zone,price\n2025-01-01,bg,1\n", b"id,amount\n1\n", b"", b"\xff\xfe\0"]
LINES = [b'{"id":1,"amount":1.5}\n{"id":2,"amount":null}\n', b'{"id":1}\n[2]\n', b"{"]

schemathesis.openapi.media_type("text/csv", strategies.sampled_from(CSV))
schemathesis.openapi.media_type("text/tab-separated-values", strategies.sampled_from([one.replace(b",", b"\t") for one in CSV]))
schemathesis.openapi.media_type("application/x-ndjson", strategies.sampled_from(LINES))
schemathesis.openapi.media_type("application/offset+octet-stream", strategies.binary(max_size=64))
