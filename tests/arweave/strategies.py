"""What hypothesis draws for the arweave floor: tags, items, and the wallets that sign them."""

from hypothesis import strategies as st

from puna.arweave.dataitem import sign_item
from puna.arweave.ids import b64url_encode
from puna.arweave.tags import Tag
from puna.arweave.wallet import wallet_from_jwk

ED25519 = wallet_from_jwk({"kty": "OKP", "crv": "Ed25519", "d": b64url_encode(b"\x07" * 32)})
ETHEREUM = wallet_from_jwk({"kty": "EC", "crv": "secp256k1", "d": b64url_encode(b"\x11" * 32)})

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
tags = st.builds(Tag, texts.filter(bool), texts)
tag_lists = st.lists(tags, max_size=12).map(tuple)
ids = st.binary(min_size=32, max_size=32).map(b64url_encode)


def data_items(wallet=ED25519):
    return st.builds(
        sign_item,
        st.just(wallet),
        st.binary(max_size=300),
        tag_lists,
        st.just("") | ids,
        st.just(b"") | st.binary(min_size=32, max_size=32),
    )
