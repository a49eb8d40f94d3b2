"""Amazon's own client as the judge of what stands between the gateway and Bedrock: it signs what the mock
verifies, it reads what the mock streams, and it signs again what the gateway has sent.
"""

import hashlib

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lanes import AWS_KEY, BEDROCK_MODEL, PAIRS
from stack import marker, said
from surfaces import talk

REGION = "us-east-1"
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"


def client(stack, secret: str = AWS_KEY[1]):
    return boto3.client(
        "bedrock-runtime",
        region_name=REGION,
        endpoint_url=stack.provider,
        aws_access_key_id=AWS_KEY[0],
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def asked(text: str) -> list[dict]:
    return [{"role": "user", "content": [{"text": text}]}]


@pytest.mark.parametrize("model", [BEDROCK_MODEL, ARN], ids=["with-a-colon", "with-slashes"])
def test_what_boto3_signs_is_verified_by_the_mock(connected, model):
    text = said(marker(), text="signed and read")
    answer = client(connected).converse(modelId=model, messages=asked(text))
    assert answer["output"]["message"]["content"] == [{"text": "signed and read"}]
    assert answer["usage"]["totalTokens"] > 0


def test_a_wrong_secret_is_refused_by_the_mock(connected):
    with pytest.raises(ClientError) as caught:
        client(connected, "not-the-secret").converse(modelId=BEDROCK_MODEL, messages=asked("hi"))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_what_the_mock_streams_is_read_by_boto3(connected):
    text = said(marker(), text="one two three")
    stream = client(connected).converse_stream(modelId=BEDROCK_MODEL, messages=asked(text))
    events = list(stream["stream"])
    deltas = [event["contentBlockDelta"] for event in events if "contentBlockDelta" in event]
    assert "".join(delta["delta"]["text"] for delta in deltas) == "one two three"
    assert "messageStart" in events[0]
    assert "metadata" in events[-1]


BEDROCK_PAIRS = [pair for pair in PAIRS if pair[1].provider == "bedrock"]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("surface", "kind"), BEDROCK_PAIRS, ids=[surface for surface, _ in BEDROCK_PAIRS]
)
def test_the_gateways_signature_is_the_one_that_botocore_makes(connected, surface, kind, stream):
    word = marker()
    it = talk(connected, surface, kind)
    it.user(said(word, text="fine"))
    assert it.ask(stream=stream).text == "fine"
    [seen] = connected.saw(word)
    assert_signed_as_by_botocore(connected, seen)


def assert_signed_as_by_botocore(stack, seen: dict) -> None:
    """Signs a recorded request again at the time that it names, over the headers that it names.

    The mock keeps a digest of the authorization without its first word, the algorithm.
    """
    headers = seen["headers"]
    recorded = headers["authorization"]
    names = {"host", "content-type", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"}
    request = botocore.awsrequest.AWSRequest(
        method=seen["method"],
        url=stack.provider + seen["path"],
        data=seen["body"].encode(),
        headers={name: headers[name] for name in sorted(names & headers.keys() - {"host"})},
    )
    signer = At(headers["x-amz-date"])
    signer.add_auth(request)
    made = request.headers["Authorization"].partition(" ")[2]
    assert recorded == "sha256:" + hashlib.sha256(made.encode()).hexdigest(), (
        f"botocore signs {made}"
    )


class At(botocore.auth.SigV4Auth):
    """botocore's signer, with a clock that stands."""

    def __init__(self, when: str):
        super().__init__(botocore.credentials.Credentials(*AWS_KEY), "bedrock", REGION)
        self.when = when

    def add_auth(self, request) -> None:
        request.context["timestamp"] = self.when
        canonical = self.canonical_request(request)
        signature = self.signature(self.string_to_sign(request, canonical), request)
        self._inject_signature_to_request(request, signature)

