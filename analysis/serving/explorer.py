"""A page on this machine that reads a picture's factors and changes them."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from pydantic import BaseModel, FiniteFloat, ValidationError
from starlette.middleware.trustedhost import TrustedHostMiddleware

from analysis.tables.rendering import render
from weakdis_core.config.config import describe
from weakdis_core.data.picture_files import Images, encode_png, read_picture
from weakdis_core.data.variant import Factor
from weakdis_core.errors import UserError
from weakdis_core.model import WARNING, Codes, Model

HOST = "127.0.0.1"
MOST_BYTES = 20 * 2**20
"""Largest accepted upload."""

_SAMPLES = 10
# The page loads nothing from elsewhere, and no other page may show it in a frame.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src data: blob:; connect-src 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class _Change(BaseModel):
    """The body of a request for a changed picture: a picture's codes and the values to set."""

    codes: list[list[FiniteFloat]]
    values: dict[str, int]


class Explorer:
    """Reads and changes pictures for the page.

    It keeps no picture: the page sends the codes with each change.

    Args:
        model: A modular model that is past its warmup.
        first: Picture file to start with; None for the picture of a random sample of the prior.

    Raises:
        UserError: The model reads no factors, or the picture cannot be read.
    """

    def __init__(self, model: Model, first: bytes | None = None) -> None:
        self.model = model
        self.first = self.open(encode_png(self._sample()) if first is None else first)

    def open(self, content: bytes) -> dict[str, Any]:
        """Return what the page shows of a picture file.

        Raises:
            UserError: The picture cannot be read.
        """
        variant = self.model.variant
        picture = read_picture(content, variant.channels, size=variant.size)
        codes = self.model.encode(picture.pixels)
        read = {
            name: {
                "value": int(each.values[0]),
                "name": each.names[0],
                "probability": float(each.probabilities.max()),
            }
            for name, each in self.model.read_codes(codes).items()
        }
        png = base64.b64encode(encode_png(picture.pixels.numpy())).decode()
        return {
            "original": f"data:image/png;base64,{png}",
            "codes": codes[0].tolist(),
            "read": read,
            "changes": picture.changes,
            "warning": WARNING if self.model.is_unlike_training(codes)[0] else "",
        }

    def change(self, codes: Sequence[Sequence[float]], values: dict[str, int]) -> bytes:
        """Set factor values in the codes of a picture; return the decoded picture as PNG.

        Raises:
            UserError: A factor or a value does not exist, or the codes have another shape.
        """
        autoencoder = self.model.networks.autoencoder
        expected = {autoencoder.partitions: {autoencoder.latent}}
        if {len(codes): set(map(len, codes))} != expected:
            raise UserError("codes: not of this model; open the picture again")
        array: Codes = np.array([codes], np.float32)
        return encode_png(self.model.decode(self.model.change_codes(array, values))[0])

    def seconds(self, repeats: int = 20) -> float:
        """Measure the median time of a change."""
        name, times = self.model.variant.factor_names[0], []
        for _ in range(repeats):
            start = time.perf_counter()
            self.change(self.first["codes"], {name: 0})
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    def page(self) -> str:
        """Return the page."""
        variant = self.model.variant
        sliders = {factor.name for factor in variant.factors if _has_order(factor)}
        return render("explore.html.j2", variant=variant, sliders=sliders, first=self.first)

    @torch.no_grad()
    def _sample(self) -> Images:
        """Return the first of some decoded samples of the prior that is like the training data."""
        prior = self.model.prior
        generator = torch.Generator(prior.means.device)
        generator.seed()
        codes = prior.sample(prior.sample_components(_SAMPLES, generator), generator)
        images = self.model.decode(codes.cpu().numpy())
        first: Images = images[self.model.is_unlike_training(self.model.encode(images)).argmin()]
        return first


def build_app(explorer: Explorer) -> FastAPI:
    """Return the web app of an explorer; its errors are plain text with status 400."""
    app = FastAPI(openapi_url=None)
    # A page elsewhere whose name is made to lead to this machine sends its own name as host.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(explorer.page(), headers=_HEADERS)

    @app.post("/picture")
    async def picture(request: Request) -> dict[str, Any]:
        return explorer.open(await _body(request))

    @app.post("/change")
    async def change(request: Request) -> Response:
        wanted = _Change.model_validate_json(await _body(request))
        return Response(explorer.change(wanted.codes, wanted.values), media_type="image/png")

    @app.exception_handler(UserError)
    @app.exception_handler(ValidationError)
    def refuse(_: Request, error: Exception) -> PlainTextResponse:
        text = describe(error) if isinstance(error, ValidationError) else str(error)
        return PlainTextResponse(text, 400)

    return app


def listen(port: int) -> socket.socket:
    """Open a port on this machine only; 0 opens a free one.

    Raises:
        UserError: The port does not exist or is in use.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"port: {port} is not allowed: from 1 to 65535")
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise UserError(f"port: {port} cannot be used ({reason}); choose another --port") from None


def serve(explorer: Explorer, listening: socket.socket) -> None:
    """Serve the page until Ctrl-C."""
    server = uvicorn.Server(uvicorn.Config(build_app(explorer), log_level="warning"))
    with contextlib.suppress(KeyboardInterrupt):
        server.run([listening])


async def _body(request: Request) -> bytes:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            raise UserError(f"image: at most {MOST_BYTES // 2**20} MB are allowed")
    return bytes(content)


def _has_order(factor: Factor) -> bool:
    """Check whether a slider suits a factor: its values have an order, or are numbers."""
    try:
        return factor.kind != "categorical" or bool(list(map(float, factor.value_names)))
    except ValueError:
        return False
