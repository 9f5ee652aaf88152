"""Trains pebble with our own model code on the torch backend.

    python -m recipes.pebble.train FOLDER [--steps 8000] [--minutes 60] [--start OTHER --seed 2]

FOLDER becomes a Hugging Face folder with the tokenizer; its weights are replaced, atomically, at every evaluation.
Uses CUDA where there is a GPU, otherwise the CPU; matrix products in bfloat16 unless --float32 is given. On a machine
with other work to do, set OMP_WAIT_POLICY=PASSIVE: threads that spin while they wait cost most of the speed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from torch.nn import functional

from freehold.checkpoints import open_checkpoint
from freehold.models.decoder import Decoder
from freehold.models.loading import load_model
from freehold.models.state import initial_checkpoint, snapshot, trainable
from freehold.ops.batch import Batch
from freehold.ops.torch import TorchOps
from recipes.pebble.conversation import Conversation, Encoder, batches
from recipes.pebble.evaluate import evaluation_sets
from recipes.pebble.settings import Course, Shape
from recipes.pebble.short_attention import ShortSequenceOps
from recipes.pebble.tokenizer import save_tokenizer, train_tokenizer

# Steps between lines of the log.
EVERY = 50


@dataclass(frozen=True)
class Packed:
    """Conversations as one ragged batch.

    Attributes:
        batch: wants logits at the rows whose next token is learned.
        targets: [wanted] int64, those next tokens.
        answers: [wanted] bool, which of them belong to an answer.
        lines: [wanted] int64, the conversation of each.
    """

    batch: Batch
    targets: torch.Tensor
    answers: torch.Tensor
    lines: torch.Tensor

    @staticmethod
    def of(group: list[Conversation], device: torch.device, *, messages: bool = False) -> Packed:
        """Packs conversations; their answers are learned, and everything else too where `messages` is true."""
        whole = Batch.whole([conversation.token_ids for conversation in group])
        answered = np.concatenate([conversation.answered for conversation in group])
        learned = (whole.positions > 0) if messages else answered
        rows = np.flatnonzero(learned).astype(np.int32) - np.int32(1)
        lines = np.searchsorted(whole.offsets, rows, side="right") - 1
        return Packed(
            batch=replace(whole, logit_rows=rows),
            targets=torch.from_numpy(whole.token_ids[rows + 1].astype(np.int64)).to(device),
            answers=torch.from_numpy(answered[rows + 1]).to(device),
            lines=torch.from_numpy(lines.astype(np.int64)).to(device),
        )


def precision(device: torch.device, bfloat16: bool) -> AbstractContextManager[object]:
    """Products in bfloat16 or float32; weights, norms and the loss stay in float32."""
    return torch.autocast(device.type, torch.bfloat16) if bfloat16 else nullcontext()


def schedule(step: int, course: Course, done: float) -> float:
    """Share of the highest learning rate: a linear warm-up, then a cosine down to a twentieth; `done` is of the run."""
    if step < course.warm_up:
        return (step + 1) / course.warm_up
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def is_matrix_of_block(name: str, weight: torch.Tensor) -> bool:
    """Whether a weight is one of the matrices between embedding and head."""
    return name.startswith("blocks.") and weight.dim() == 2


def optimisers(model: Decoder, course: Course) -> list[torch.optim.Optimizer]:
    """Muon (Jordan 2024) for the matrices of the blocks, AdamW for the embedding and the norms."""
    matrices: list[torch.Tensor] = []
    others: list[torch.Tensor] = []
    for name, weight in trainable(model):
        (matrices if is_matrix_of_block(name, weight) else others).append(weight)
    muon = torch.optim.Muon(
        matrices, lr=course.learning_rate, weight_decay=course.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    return [muon, torch.optim.AdamW(others, lr=course.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)]


def evaluate(model: Decoder, held: dict[str, list[Packed]]) -> dict[str, float]:
    """Share of exact answers for each set, in float32."""
    return {name: round(exact_lines(model, packs), 4) for name, packs in held.items()}


@torch.no_grad()
def exact_lines(model: Decoder, packs: list[Packed]) -> float:
    """Share of conversations whose answer greedy decoding gives exactly: every answer token is the likeliest."""
    right = total = 0
    for pack in packs:
        hits = model.forward(pack.batch, None).argmax(-1) == pack.targets
        wrong = torch.zeros(pack.batch.sequences, dtype=torch.bool, device=hits.device)
        wrong[pack.lines[~hits]] = True
        right += int((~wrong).sum())
        total += pack.batch.sequences
    return right / total


def write_atomically(folder: Path, model: Decoder, config: dict[str, object]) -> None:
    """Replaces the folder's weights and config.json; a reader sees the old file or the new one, never a part."""
    contents = snapshot(model, config).contents
    weights = {name: tensor.float32().astype(np.float16) for name, tensor in contents.items()}
    partial = folder / "model.safetensors.partial"
    save_file(weights, partial, metadata={"format": "pt"})
    os.replace(partial, folder / "model.safetensors")
    partial = folder / "config.json.partial"
    partial.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder / "config.json")


def encoded_sets(encoder: Encoder, course: Course, device: torch.device) -> dict[str, list[Packed]]:
    """The sets of evaluate.py, encoded."""
    chosen = evaluation_sets(course.seed, course.evaluated)
    groups = {name: [encoder.encode([example]) for example in part] for name, part in chosen.items()}
    return {
        name: [Packed.of(group[start : start + 100], device) for start in range(0, len(group), 100)]
        for name, group in groups.items()
    }


def beginning(shape: Shape, course: Course, ops: TorchOps, start: Path | None) -> Decoder:
    """The model that training begins with: random, or the weights of a folder of the same shape."""
    if start is not None:
        return load_model(open_checkpoint(start), ops)
    model = load_model(initial_checkpoint(shape.config(), course.seed), ops)
    for name, weight in trainable(model):
        if is_matrix_of_block(name, weight):
            weight.mul_(course.gain)
    return model


def train(
    folder: Path,
    shape: Shape,
    course: Course,
    *,
    minutes: float | None = None,
    bfloat16: bool = False,
    start: Path | None = None,
) -> Iterator[str]:
    """Trains a model and keeps `folder` up to date; yields lines for a log.

    Args:
        minutes: how long to train, instead of a number of steps.
        bfloat16: multiply matrices in bfloat16.
        start: a folder whose weights to go on from. Take another seed then, since the same one repeats its examples.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer_file = folder / "tokenizer.json"
    if not tokenizer_file.exists():
        save_tokenizer(train_tokenizer(), folder)
    encoder = Encoder(Tokenizer.from_file(str(tokenizer_file)))
    config = shape.config()
    ops = TorchOps(device) if device.type == "cuda" else ShortSequenceOps(device)
    model = beginning(shape, course, ops, start)
    weights = [weight.requires_grad_() for _, weight in trainable(model)]
    steppers = optimisers(model, course)
    size = sum(weight.numel() for weight in weights)
    yield f"{size:,} parameters on {device}, products in {'bfloat16' if bfloat16 else 'float32'}"
    held = encoded_sets(encoder, course, device)
    stream = batches(encoder, course.seed, course.batch)
    began, tokens = time.monotonic(), 0
    seen: list[float] = []
    for step in itertools.count():
        elapsed = time.monotonic() - began
        done = elapsed / 60 / minutes if minutes else step / course.steps
        if done >= 1:
            break
        pack = Packed.of(next(stream), device, messages=course.message_weight > 0)
        tokens += pack.batch.tokens
        rate = course.learning_rate * schedule(step, course, done)
        with precision(device, bfloat16):
            logits = model.forward(pack.batch, None)
        losses = functional.cross_entropy(logits.float(), pack.targets, reduction="none")
        answer_loss, message_loss = losses[pack.answers].mean(), losses[~pack.answers].sum() / pack.answers.sum()
        torch.autograd.backward(answer_loss + course.message_weight * message_loss)
        seen.append(answer_loss.item())
        norm = torch.nn.utils.clip_grad_norm_(weights, course.gradient_norm)
        for stepper in steppers:
            stepper.param_groups[0]["lr"] = rate
            stepper.step()
            stepper.zero_grad()
        if step % EVERY == 0:
            yield (
                f"step {step} loss {np.mean(seen[-EVERY:]):.4f} norm {norm.item():.2f} tokens {tokens:,} "
                f"per second {tokens / (time.monotonic() - began):,.0f} minutes {elapsed / 60:.1f}"
            )
        if step and step % course.evaluate_every == 0:
            write_atomically(folder, model, config)
            yield f"step {step} exact lines {json.dumps(evaluate(model, held))}"
    write_atomically(folder, model, config)
    summary = {"steps": step, "conversations": step * course.batch, "tokens": tokens}
    summary["minutes"] = round((time.monotonic() - began) / 60)
    yield json.dumps({**summary, "exact_lines": evaluate(model, held)})


def main() -> None:
    """Reads the command line and prints the log."""
    parser = argparse.ArgumentParser(description="Train pebble.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, help="stop after this time, with the schedule stretched to it")
    parser.add_argument("--start", type=Path, help="a folder whose weights to go on from, with another --seed")
    parser.add_argument("--float32", action="store_true", help="do not use bfloat16")
    for owner in (Shape(), Course()):
        for name, value in vars(owner).items():
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args())
    shape = Shape(**{name: options[name] for name in vars(Shape())})
    try:
        course = Course(**{name: options[name] for name in vars(Course())})
    except ValueError as error:
        parser.error(str(error))
    options["folder"].mkdir(parents=True, exist_ok=True)
    log = train(
        options["folder"],
        shape,
        course,
        minutes=options["minutes"],
        bfloat16=not options["float32"],
        start=options["start"],
    )
    for line in log:
        print(line, flush=True)


if __name__ == "__main__":
    main()
