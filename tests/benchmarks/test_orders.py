from __future__ import annotations

import json

from benchmarks import orders


def test_signature_is_hmac_sha256_of_the_body():
    # RFC 4231, test case 2
    assert (
        orders.signature(b"what do ya want for nothing?", "Jefe")
        == "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )


def test_body_is_an_order_event_with_its_number_and_time():
    assert json.loads(orders.body(41, 2.5)) == {
        "event_type": "order.created",
        "data": {"order_id": "ORD-41", "amount": 91, "customer_name": "John Doe", "i": 41, "t": 2.5},
    }


def test_requests_carry_the_signature_of_their_own_body():
    head, content = orders.requests(path="/hook", secret="k", count=2)[1].split(b"\r\n\r\n")

    assert head.decode().split("\r\n") == [
        "POST /hook HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"X-Webhook-Signature: {orders.signature(content, 'k')}",
        f"Content-Length: {len(content)}",
    ]
    assert json.loads(content)["data"]["i"] == 1
