"""PyTorch's training of the architectures that bench:science compares, one run per question: asked by pytorch.ts.

A line of JSON in, a line of JSON out. {"train": {...}} goes on from a checkpoint of ours after its first step, moments
included, over the same rows, mini-batches and schedules (`setup` is that of our run's config.json), and writes the
trained parameters as SAELens's sae_weights.safetensors. Dense products, autograd and torch.optim.Adam: what a user of
PyTorch would write.
"""

import json
import os
import sys
import time

import torch
import torch.nn.functional as F

PARAMETERS = ("W_enc", "b_enc", "W_dec", "b_dec")


def read_tensors(path):
    """The float32 tensors of a safetensors file; the encoder is [latents, d] in checkpoints, as torch.nn.Linear has it."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        body = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(body, dtype=torch.float32, count=(end - begin) // 4, offset=begin)
        tensors[name] = flat.reshape(entry["shape"]).clone()
    return tensors


def write_tensors(path, tensors):
    header, parts, at = {}, [], 0
    for name, tensor in tensors.items():
        data = tensor.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
        parts.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(parts))


def open_rows(path, d):
    return torch.from_file(path, size=os.path.getsize(path) // 4, dtype=torch.float32).view(-1, d)


def scheduled(schedule, step):
    """A linear warm-up, a constant part, a linear decay to zero."""
    warmup, decay, total = schedule["warmupSteps"], schedule["decaySteps"], schedule["totalSteps"]
    up = min(1, (step + 1) / warmup) if warmup > 0 else 1
    down = min(1, max(0, total - step) / decay) if decay > 0 else 1
    return schedule["peak"] * up * down


def squared_error(reconstruction, x):
    return (reconstruction - x).pow(2).sum(dim=1).mean()


def loss_of(model, parameters, x, l1):
    """The loss of a mini-batch, and its latents."""
    W_enc, b_enc, W_dec, b_dec = parameters
    centred = x - b_dec if model["applyBDecToInput"] else x
    f = F.relu(F.linear(centred, W_enc, b_enc))
    if model["architecture"] == "relu":
        norms = W_dec.norm(dim=1) if model["decoder"] == "free" else torch.ones(len(W_dec))
        return squared_error(f @ W_dec + b_dec, x) + l1 * (f @ norms).mean(), f
    # BatchTopK: the k·rows largest of the whole mini-batch.
    least = f.detach().flatten().topk(model["k"] * len(x), sorted=False).values.min()
    f = torch.where(f >= least, f, 0)
    if model["architecture"] == "batch-topk":
        return squared_error(f @ W_dec + b_dec, x), f
    # Matryoshka: the mean over nested prefixes of their errors.
    loss, reconstruction, begin = 0, b_dec, 0
    for end in model["prefixes"]:
        reconstruction = reconstruction + f[:, begin:end] @ W_dec[begin:end]
        loss = loss + squared_error(reconstruction, x)
        begin = end
    return loss / len(model["prefixes"]), f


def calibrate(model, parameters, rows):
    """The threshold above which k latents per row lie on average, on rows that training has not seen."""
    W_enc, b_enc, _, b_dec = parameters
    with torch.no_grad():
        largest = []
        for x in rows.split(8192):
            centred = x - b_dec if model["applyBDecToInput"] else x
            z = F.linear(centred, W_enc, b_enc).flatten()
            largest.append(z.topk(min(len(z), 3 * model["k"] * len(x)), sorted=False).values)
        return torch.cat(largest).topk(model["k"] * len(rows)).values[-1].item()


def train(setup, state, rows, heldOut, out, threads):
    torch.set_num_threads(threads)
    model, training = setup["model"], setup["training"]
    tensors = read_tensors(state)
    parameters = [tensors[name].requires_grad_() for name in PARAMETERS]
    adam = training["adam"]
    betas = (float(adam["beta1"]), float(adam["beta2"]))
    optimiser = torch.optim.Adam(parameters, betas=betas, eps=adam["epsilon"], fused=True)
    for name, parameter in zip(PARAMETERS, parameters):
        moments = {"exp_avg": tensors[f"{name}.m"], "exp_avg_sq": tensors[f"{name}.v"]}
        optimiser.state[parameter] = {"step": torch.tensor(1.0), **moments}
    W_dec = parameters[2]
    unit = model["decoder"] == "unit"
    data = open_rows(rows, model["dIn"])
    batch, steps = training["batchRows"], training["learningRate"]["totalSteps"]
    began = time.perf_counter()
    active, tail = 0.0, max(1, steps // 20)
    for step in range(1, steps):
        x = data[step * batch : (step + 1) * batch]
        loss, f = loss_of(model, parameters, x, scheduled(training["l1Coefficient"], step))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if unit:
            with torch.no_grad():
                along = torch.linalg.vecdot(W_dec.grad, W_dec).unsqueeze(1)
                W_dec.grad.addcmul_(W_dec, along, value=-1)
        optimiser.param_groups[0]["lr"] = scheduled(training["learningRate"], step)
        optimiser.step()
        if unit:
            with torch.no_grad():
                W_dec.div_(W_dec.norm(dim=1, keepdim=True))
        if step >= steps - tail:
            active += (f.detach() > 0).sum().item() / len(x)
    seconds = time.perf_counter() - began
    if not torch.isfinite(loss):
        raise ValueError("the loss is not a number")
    W_enc, b_enc, W_dec, b_dec = parameters
    weights = {"W_enc": W_enc.T, "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec}
    if model["architecture"] != "relu":
        threshold = calibrate(model, parameters, open_rows(heldOut, model["dIn"]))
        weights["threshold"] = torch.full((len(b_enc),), threshold)
    write_tensors(out, weights)
    return {"seconds": seconds, "loss": loss.item(), "l0": active / min(tail, steps - 1), "version": f"torch {torch.__version__}"}


def main():
    for line in sys.stdin:
        try:
            answer = train(**json.loads(line)["train"])
        except Exception as error:  # What a library refuses goes back as an answer: the runner reports it.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
