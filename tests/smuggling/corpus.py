"""Requests and answers whose end two parsers may see in different places."""

HOST = b"Host: 127.0.0.1\r\n"
CHAT = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def post(*fields, body=b"", path=b"/v1/embeddings", version=b"1.1", line_end=b"\r\n"):
    lines = [b"POST " + path + b" HTTP/" + version, b"Host: 127.0.0.1", *fields]
    return line_end.join(lines) + line_end + line_end + body


def chunks(*pieces, end=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + end


TE = b"Transfer-Encoding: "
CL = b"Content-Length: "


def requests():
    """(name, bytes). HIDDEN in the bytes must be answered on that connection or not at all."""
    n = len(HIDDEN)
    cases = {
        "CL.TE": post(CL + b"%d" % (len(chunks()) + n), TE + b"chunked", body=chunks() + HIDDEN),
        "TE.CL": post(TE + b"chunked", CL + b"4", body=b"%x\r\n%s\r\n0\r\n\r\n" % (n, HIDDEN)),
        "CL 0 and a body": post(CL + b"0", body=HIDDEN),
        "no length and a body": post(body=HIDDEN),
        "two CL": post(CL + b"0", CL + b"%d" % n, body=HIDDEN),
        "two equal CL": post(CL + b"%d" % n, CL + b"%d" % n, body=HIDDEN),
        "list of CL": post(CL + b"0, %d" % n, body=HIDDEN),
        "signed CL": post(CL + b"+%d" % n, body=HIDDEN),
        "hex CL": post(CL + b"0x%x" % n, body=HIDDEN),
        "CL with a blank inside": post(CL + b"1 0", body=HIDDEN),
        "CL with leading zeros": post(CL + b"000%d" % n, body=HIDDEN),
        "negative CL": post(CL + b"-1", body=HIDDEN),
        "huge CL": post(CL + b"18446744073709551616", body=HIDDEN),
        "blank before the colon of CL": post(b"Content-Length : %d" % n, body=HIDDEN),
        "blank before the colon of TE": post(b"Transfer-Encoding : chunked", CL + b"%d" % n, body=chunks() + HIDDEN[:n - 5]),
        "tab before TE's value": post(b"Transfer-Encoding:\tchunked", body=chunks() + HIDDEN),
        "vertical tab in TE": post(TE + b"\x0bchunked", CL + b"%d" % n, body=HIDDEN),
        "folded TE": post(b"Transfer-Encoding:\r\n chunked", CL + b"%d" % n, body=HIDDEN),
        "folded field": post(b"X: a\r\n b", CL + b"%d" % n, body=HIDDEN),
        "two TE": post(TE + b"chunked", TE + b"identity", body=chunks() + HIDDEN),
        "two chunked": post(TE + b"chunked", TE + b"chunked", body=chunks() + HIDDEN),
        "TE identity": post(TE + b"identity", CL + b"%d" % n, body=HIDDEN),
        "TE xchunked": post(TE + b"xchunked", CL + b"%d" % n, body=HIDDEN),
        "TE chunked, identity": post(TE + b"chunked, identity", body=chunks() + HIDDEN),
        "TE identity, chunked": post(TE + b"identity, chunked", body=chunks() + HIDDEN),
        "TE quoted": post(TE + b'"chunked"', CL + b"%d" % n, body=HIDDEN),
        "TE with a parameter": post(TE + b"chunked;q=1", CL + b"%d" % n, body=HIDDEN),
        "TE chunked and a comma": post(TE + b"chunked,", body=chunks() + HIDDEN),
        "TE of HTTP/1.0": post(TE + b"chunked", CL + b"%d" % n, body=chunks() + HIDDEN, version=b"1.0"),
        "TE named with an underscore": post(b"Transfer_Encoding: chunked", CL + b"%d" % n, body=HIDDEN),
        "TE in upper case": post(b"TRANSFER-ENCODING: CHUNKED", body=chunks() + HIDDEN),
        "NUL in a name": post(b"Transfer\0-Encoding: chunked", CL + b"%d" % n, body=HIDDEN),
        "NUL in a value": post(b"X: a\0b", CL + b"%d" % n, body=HIDDEN),
        "bare CR in a value": post(b"X: a\rTransfer-Encoding: chunked", CL + b"%d" % n, body=HIDDEN),
        "bare LF in the head": post(b"X: a\n" + TE + b"chunked", CL + b"%d" % n, body=HIDDEN),
        "bare LF everywhere": post(CL + b"%d" % n, body=HIDDEN, line_end=b"\n"),
        "CR LF CR CR LF": post(b"X: a\r", CL + b"%d" % n, body=HIDDEN),
        "a field without a name": post(b": a", CL + b"%d" % n, body=HIDDEN),
        "a field without a colon": post(b"hidden", CL + b"%d" % n, body=HIDDEN),
        "a blank first field": b"POST /v1/embeddings HTTP/1.1\r\n Host: a\r\n" + HOST + b"\r\n" + HIDDEN,
        "two Hosts": post(b"Host: other", CL + b"%d" % n, body=HIDDEN),
        "absolute target, other Host": b"GET http://other/v1/models HTTP/1.1\r\n" + HOST + b"\r\n",
        "target with a blank": b"GET /v1/models /x HTTP/1.1\r\n" + HOST + b"\r\n",
        "target with CR LF escaped": b"GET /v1/models%0d%0aX:%20y HTTP/1.1\r\n" + HOST + b"\r\n",
        "target with a NUL": b"GET /v1/models\0 HTTP/1.1\r\n" + HOST + b"\r\n",
        "target with a fragment": b"GET /v1/models#x HTTP/1.1\r\n" + HOST + b"\r\n",
        "HTTP/1.2": b"GET /v1/models HTTP/1.2\r\n" + HOST + b"\r\n",
        "HTTP/0.9": b"GET /v1/models\r\n\r\n",
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "a body with GET": b"GET /v1/models HTTP/1.1\r\n" + HOST + CL + b"%d\r\n\r\n" % n + HIDDEN,
        "a chunked body with GET": b"GET /v1/models HTTP/1.1\r\n" + HOST + TE + b"chunked\r\n\r\n" + chunks(HIDDEN),
        "a body with HEAD": b"HEAD /v1/models HTTP/1.1\r\n" + HOST + CL + b"%d\r\n\r\n" % n + HIDDEN,
        "Connection: Content-Length": post(CL + b"%d" % n, b"Connection: Content-Length", body=HIDDEN),
        "Connection: Transfer-Encoding": post(TE + b"chunked", b"Connection: Transfer-Encoding", body=chunks(HIDDEN)),
        "Connection: Host": post(CL + b"%d" % n, b"Connection: Host", body=HIDDEN),
        "Upgrade h2c": post(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__",
                            CL + b"%d" % n, body=HIDDEN),
        "Upgrade, chunks and a trailer of framing": post(b"Connection: Upgrade", b"Upgrade: h2c", TE + b"chunked",
                                                         body=b"0\r\nContent-Length: 5\r\n\r\n" + HIDDEN),
        "Expect and a body at once": post(b"Expect: 100-continue", CL + b"%d" % n, body=HIDDEN),
        "Expect of another kind": post(b"Expect: 200-maybe", CL + b"%d" % n, body=HIDDEN),
        "pipelined": post(CL + b"%d" % len(CHAT), body=CHAT) + HIDDEN,
        "CONNECT": b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n" + HOST + b"\r\n" + HIDDEN,
        "empty lines first": b"\r\n\r\n" + post(CL + b"%d" % n, body=HIDDEN),
        "many empty lines first": b"\r\n" * 40 + post(CL + b"%d" % n, body=HIDDEN),
    }
    bodies = {
        "size with 0x": b"0x%x\r\n%s\r\n0\r\n\r\n" % (n, HIDDEN),
        "size with a sign": b"+%x\r\n%s\r\n0\r\n\r\n" % (n, HIDDEN),
        "size with a blank before": b" %x\r\n%s\r\n0\r\n\r\n" % (n, HIDDEN),
        "size with a blank behind": b"%x \r\n%s\r\n0\r\n\r\n" % (n, HIDDEN),
        "size that wraps": b"1%016x\r\n%s\r\n0\r\n\r\n" % (n, HIDDEN),
        "size with an underscore": b"1_0\r\n%s\r\n0\r\n\r\n" % HIDDEN,
        "empty size": b"\r\n%s\r\n0\r\n\r\n" % HIDDEN,
        "LF behind the size": b"%x\n%s\r\n0\r\n\r\n" % (n, HIDDEN),
        "CR behind the size": b"%x\r%s\r\n0\r\n\r\n" % (n, HIDDEN),
        "LF in an extension": b"%x;a\nb\r\n%s\r\n0\r\n\r\n" % (n, HIDDEN),
        "CR in an extension": b"%x;a\rb\r\n%s\r\n0\r\n\r\n" % (n, HIDDEN),
        "extension in quotes": b'%x;a="\r\n0\r\n\r\n' % n + HIDDEN,
        "long extension": b"%x;%s\r\n%s\r\n0\r\n\r\n" % (n, b"a" * 4000, HIDDEN),
        "no CR LF behind the data": b"%x\r\n%s0\r\n\r\n" % (n, HIDDEN),
        "two bytes behind the data": b"%x\r\n%sXX0\r\n\r\n" % (n, HIDDEN),
        "LF behind the data": b"%x\r\n%s\n0\r\n\r\n" % (n, HIDDEN),
        "data longer than said": b"2\r\nabc\r\n0\r\n\r\n" + HIDDEN,
        "trailer that is a request": b"0\r\n" + HIDDEN,
        "trailer of framing": b"0\r\nContent-Length: 5\r\n\r\n" + HIDDEN,
        "trailer without CR": b"0\r\nX: a\n\r\n" + HIDDEN,
        "trailer folded": b"0\r\nX: a\r\n b\r\n\r\n" + HIDDEN,
        "last chunk of many zeros": b"0000000000000000\r\n\r\n" + HIDDEN,
        "last chunk of too many zeros": b"00000000000000000\r\n\r\n" + HIDDEN,
        "end without CR": b"0\n\n" + HIDDEN,
        "end cut": b"0\r\n",
    }
    for name, data in bodies.items():
        cases["chunk " + name] = post(TE + b"chunked", body=data)
    return list(cases.items())


def answers():
    """(name, bytes): what a model server may send; POISON in it is no client's answer."""
    ok = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    poison = ok + CL + b"19\r\n\r\n" + b'{"poison":"POISON"}'
    good = b'{"path":"PATH"}'
    length = CL + b"%d\r\n" % len(good)
    cases = {
        "more behind the length": ok + length + b"\r\n" + good + poison,
        "more behind the chunks": ok + TE + b"chunked\r\n\r\n" + chunks(good) + poison,
        "CL and TE": ok + length + TE + b"chunked\r\n\r\n" + chunks(good) + poison,
        "TE and CL": ok + TE + b"chunked\r\n" + CL + b"5\r\n\r\n" + chunks(good) + poison,
        "two CL": ok + length + CL + b"3\r\n\r\n" + good + poison,
        "two equal CL": ok + length + length + b"\r\n" + good + poison,
        "list of CL": ok + CL + b"%d, 3\r\n\r\n" % len(good) + good + poison,
        "signed CL": ok + CL + b"+%d\r\n\r\n" % len(good) + good + poison,
        "negative CL": ok + CL + b"-1\r\n\r\n" + good + poison,
        "TE of an unknown coding": ok + TE + b"xchunked\r\n\r\n" + chunks(good) + poison,
        "TE twice": ok + TE + b"chunked\r\n" + TE + b"chunked\r\n\r\n" + chunks(good) + poison,
        "204 with a body": b"HTTP/1.1 204 No Content\r\n" + length + b"\r\n" + good + poison,
        "304 with a body": b"HTTP/1.1 304 Not Modified\r\n" + length + b"\r\n" + good + poison,
        "100 and an answer and more": b"HTTP/1.1 100 Continue\r\n\r\n" + ok + length + b"\r\n" + good + poison,
        "103 with a body": b"HTTP/1.1 103 Early Hints\r\n" + length + b"\r\n" + good + ok + length + b"\r\n" + good,
        "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + poison,
        "bare LF": ok.replace(b"\r\n", b"\n") + length.replace(b"\r\n", b"\n") + b"\n" + good + poison,
        "CR in a field": ok + b"X: a\rSet-Cookie: POISON=1\r\n" + length + b"\r\n" + good,
        "LF in a field": ok + b"X: a\nX-B: a line of its own\r\n" + length + b"\r\n" + good,
        "NUL in a field": ok + b"X: a\0POISON\r\n" + length + b"\r\n" + good,
        "folded field": ok + b"X: a\r\n Content-Length: 3\r\n" + length + b"\r\n" + good + poison,
        "blank before the colon": ok + b"Content-Length : 3\r\n" + length + b"\r\n" + good + poison,
        "field without a colon": ok + b"POISON\r\n" + length + b"\r\n" + good,
        "HTTP/0.9": good,
        "junk first": b"junk\r\n" + ok + length + b"\r\n" + good,
        "status of two digits": b"HTTP/1.1 20 OK\r\n" + length + b"\r\n" + good + poison,
        "status of four digits": b"HTTP/1.1 2000 OK\r\n" + length + b"\r\n" + good + poison,
        "HTTP/1.0 with keep-alive": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + length + b"\r\n" + good + poison,
        "chunk size that wraps": ok + TE + b"chunked\r\n\r\n1%016x\r\n%s\r\n0\r\n\r\n" % (len(good), good) + poison,
        "chunk data longer than said": ok + TE + b"chunked\r\n\r\n2\r\n" + good + b"\r\n0\r\n\r\n" + poison,
        "chunk end missing": ok + TE + b"chunked\r\n\r\n%x\r\n%s\r\n" % (len(good), good),
        "trailer of framing": ok + TE + b"chunked\r\n\r\n" + chunks(good, end=b"0\r\nContent-Length: 3\r\n\r\n") + poison,
        "Connection names the framing": ok + length + b"Connection: Content-Length\r\n\r\n" + good + poison,
        "a second answer at once": ok + CL + b"0\r\n\r\n" + poison,
    }
    return list(cases.items())
