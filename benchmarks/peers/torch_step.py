"""PyTorch's training step on the CPU, one case per process: asked by run.ts.

A line of JSON in, a line of JSON out: {"open": {...}} makes model, optimiser and mini-batch; {"run": n, "threads": t}
takes n steps and answers their milliseconds. The cases are what a user of PyTorch would write, from the plainest to
the fastest that we know of. All take the same rows and shapes; losses and updates follow the same formulas as ours.
"""

import json
import os
import sys
import time
import warnings

import torch
import torch.nn.functional as F

# Said once per process of every sparse tensor, and nothing to be done about it.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support")

LEARNING_RATE = 1e-4
L1_COEFFICIENT = 1.0


def unit_rows(rows):
    return rows / rows.norm(dim=1, keepdim=True)


def renormalise(W_dec):
    with torch.no_grad():
        W_dec.div_(W_dec.norm(dim=1, keepdim=True))


def remove_parallel(W_dec):
    """Removes from the decoder's gradient what would only change the norm of a row."""
    with torch.no_grad():
        along = torch.linalg.vecdot(W_dec.grad, W_dec).unsqueeze(1)
        W_dec.grad.addcmul_(W_dec, along, value=-1)


class SparseModel:
    """Parameters as autograd's leaves; encoder [latents, d] as torch.nn.Linear keeps it."""

    def __init__(self, shape, free, fused):
        generator = torch.Generator().manual_seed(0)
        d, latents = shape["dIn"], shape["latents"]
        self.k = shape["k"]
        self.x = torch.randn(shape["rows"], d, generator=generator)
        directions = unit_rows(torch.randn(latents, d, generator=generator)) * (0.1 if free else 1.0)
        self.W_dec = directions.clone().requires_grad_()
        self.W_enc = directions.clone().requires_grad_()
        self.b_enc = torch.zeros(latents, requires_grad=True)
        self.b_dec = torch.zeros(d, requires_grad=True)
        parameters = [self.W_enc, self.b_enc, self.W_dec, self.b_dec]
        self.optimiser = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=fused)

    def update(self, loss, unit):
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if unit:
            remove_parallel(self.W_dec)
        self.optimiser.step()
        if unit:
            renormalise(self.W_dec)
        return loss


def squared_error(reconstruction, x):
    return (reconstruction.float() - x).pow(2).sum(dim=1).mean()


def dense_topk(shape, fused, amp):
    """All products dense, activations scattered into zeros: what the libraries do by default."""
    model = SparseModel(shape, free=False, fused=fused)

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=amp):
            pre = F.linear(model.x - model.b_dec, model.W_enc, model.b_enc)
            values, indices = pre.topk(model.k, dim=1, sorted=False)
            f = torch.zeros_like(pre).scatter(1, indices, values.relu())
            reconstruction = f @ model.W_dec + model.b_dec
        return model.update(squared_error(reconstruction, model.x), unit=True)

    return step


def transposed(indices, values_list, latents):
    """The activations [rows, latents] turned over: one sparse matrix [latents, rows] for each list of values."""
    rows, k = indices.shape
    flat = indices.reshape(-1)
    order = flat.argsort(stable=True)
    starts = F.pad(torch.bincount(flat, minlength=latents).cumsum(0), (1, 0))
    columns = order.div(k, rounding_mode="floor")
    shape = (latents, rows)
    return [
        torch.sparse_csr_tensor(starts, columns, values.reshape(-1)[order], shape, check_invariants=False)
        for values in values_list
    ]


class SparseStep(torch.autograd.Function):
    """Encode, select and decode with gradients for the selected latents only, all of them by library routines."""

    @staticmethod
    def forward(context, x, W_enc, b_enc, W_dec, b_dec, k, amp):
        centred = x - b_dec
        if amp:
            low = torch.bfloat16
            pre = F.linear(centred.to(low), W_enc.to(low), b_enc.to(low))
        else:
            pre = F.linear(centred, W_enc, b_enc)
        values, indices = pre.topk(k, dim=1, sorted=False)
        values = values.float().relu_()
        reconstruction = F.embedding_bag(indices, W_dec, per_sample_weights=values, mode="sum") + b_dec
        context.save_for_backward(centred, W_enc, W_dec, values, indices)
        return reconstruction

    @staticmethod
    def backward(context, gradient):
        centred, W_enc, W_dec, values, indices = context.saved_tensors
        rows, k = indices.shape
        # ∂loss/∂f: the product of gradient and decoder, at the selected latents only.
        starts = torch.arange(0, rows * k + 1, k)
        zeros = torch.zeros(rows * k)
        selected = torch.sparse_csr_tensor(
            starts, indices.reshape(-1), zeros, (rows, W_dec.shape[0]), check_invariants=False
        )
        latent_gradient = torch.sparse.sampled_addmm(selected, gradient, W_dec.T, beta=0).values().view(rows, k)
        latent_gradient.mul_(values > 0)
        decoder, encoder = transposed(indices, (values, latent_gradient), W_dec.shape[0])
        bias = torch.zeros(W_dec.shape[0]).index_add_(0, indices.reshape(-1), latent_gradient.reshape(-1))
        W_dec_gradient = torch.sparse.mm(decoder, gradient)
        W_enc_gradient = torch.sparse.mm(encoder, centred)
        b_dec_gradient = gradient.sum(dim=0) - bias @ W_enc
        return None, W_enc_gradient, bias, W_dec_gradient, b_dec_gradient, None, None


def sparse_topk(shape, fused, amp):
    """Dense encoder, everything behind it sparse."""
    model = SparseModel(shape, free=False, fused=fused)

    def step():
        reconstruction = SparseStep.apply(
            model.x, model.W_enc, model.b_enc, model.W_dec, model.b_dec, model.k, amp
        )
        return model.update(squared_error(reconstruction, model.x), unit=True)

    return step


def dense_relu(shape, fused, amp):
    """ReLU with the penalty weighted by the norms of a free decoder."""
    model = SparseModel(shape, free=True, fused=fused)

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=amp):
            f = F.relu(F.linear(model.x - model.b_dec, model.W_enc, model.b_enc))
            reconstruction = f @ model.W_dec + model.b_dec
        penalty = (f.float() @ model.W_dec.norm(dim=1)).mean()
        return model.update(squared_error(reconstruction, model.x) + L1_COEFFICIENT * penalty, unit=False)

    return step


def read_state(path):
    """The tensors of a checkpoint of ours, a safetensors file."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        body = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = entry["data_offsets"]
        tensors[name] = torch.frombuffer(body, dtype=torch.float32, count=(end - begin) // 4, offset=begin)
        tensors[name] = tensors[name].reshape(entry["shape"]).clone()
    return tensors


def relu_race(shape, fused, amp, state, rows, l1, lr):
    """dense_relu from a stored state after one step, over the mini-batches of a file from the second on."""
    tensors = read_state(state)
    parameters = {name: tensors[name].requires_grad_() for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    optimiser = torch.optim.Adam(parameters.values(), lr=lr, fused=fused)
    for name, parameter in parameters.items():
        moments = {"exp_avg": tensors[f"{name}.m"], "exp_avg_sq": tensors[f"{name}.v"]}
        optimiser.state[parameter] = {"step": torch.tensor(1.0), **moments}
    size = shape["rows"] * shape["dIn"]
    data = torch.from_file(rows, size=os.path.getsize(rows) // 4, dtype=torch.float32)
    batches = data[: len(data) // size * size].view(-1, shape["rows"], shape["dIn"])
    W_enc, b_enc, W_dec, b_dec = parameters.values()
    taken = 1

    def step():
        nonlocal taken
        x = batches[taken % len(batches)]
        taken += 1
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=amp):
            f = F.relu(F.linear(x - b_dec, W_enc, b_enc))
            reconstruction = f @ W_dec + b_dec
        penalty = (f.float() @ W_dec.norm(dim=1)).mean()
        loss = squared_error(reconstruction, x) + l1 * penalty
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        step.activations = f.detach()
        return loss

    return step


def deep(shape, fused, amp):
    """Fully connected layers with ReLU, the last one linear."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape["rows"], shape["dIn"], generator=generator)
    layers = []
    for inputs, outputs in zip(shape["widths"], shape["widths"][1:]):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=fused)

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=amp):
            reconstruction = network(x)
        loss = squared_error(reconstruction, x)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss

    return step


CASES = {"dense-topk": dense_topk, "sparse-topk": sparse_topk, "dense-relu": dense_relu, "relu-race": relu_race, "deep": deep}


def main():
    step = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if "open" in question:
                request = dict(question["open"])
                step = CASES[request.pop("case")](**request)
                answer = {"version": f"torch {torch.__version__}"}
            else:
                torch.set_num_threads(question["threads"])
                times = []
                for _ in range(question["run"]):
                    began = time.perf_counter()
                    loss = step().item()
                    times.append(1000 * (time.perf_counter() - began))
                if loss != loss:
                    raise ValueError("the loss is not a number")
                answer = {"ms": times, "loss": loss}
                if hasattr(step, "activations"):
                    answer["l0"] = (step.activations > 0).float().sum(dim=1).mean().item()
        except Exception as error:  # Anything that a library refuses goes back as an answer: the runner reports it.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
