"""Compares exported model folders, loaded by sae-lens, with our own encode and decode of the same rows.

Usage: python3 check_saelens.py MODEL REFERENCE [MODEL REFERENCE ...]

MODEL is a folder with cfg.json and sae_weights.safetensors; REFERENCE a safetensors file with float32 tensors
x [rows, d_in], features [rows, d_sae] (our encoding of x) and reconstruction [rows, d_out] (our decoding of
features). Prints one line per model, starting "ok", "mismatch" or "skipped". Exit status: 0 all agree, or
sae-lens is not installed; 1 a mismatch, or a model that sae-lens does not load.
"""

import sys
from pathlib import Path

# Largest difference allowed, as a part of the largest magnitude compared.
TOLERANCE = 1e-5
# Part of the rows in which the k-th and the next latent may be too close for float32 to order.
TIED_ROWS = 0.01


def compare(model_folder, reference_file):
    """One model: whether it agrees, and a line that says how far."""
    import torch
    from safetensors.torch import load_file
    from sae_lens import SAE

    sae = SAE.load_from_disk(model_folder, device="cpu")
    ours = load_file(reference_file)
    with torch.no_grad():
        features = sae.encode(ours["x"])
        reconstruction = sae.decode(ours["features"])
        if hasattr(sae, "W_skip"):
            # What its forward pass adds to what it decodes.
            reconstruction = reconstruction + ours["x"] @ sae.W_skip.T
    if features.shape != ours["features"].shape or reconstruction.shape != ours["reconstruction"].shape:
        return False, f"shapes {tuple(features.shape)} and {tuple(reconstruction.shape)} differ from ours"

    scale = features.abs().max().item()
    if not scale > 0:
        return False, "no latent is active in any row, so the comparison would show nothing"
    difference = (features - ours["features"]).abs()
    # TopK of two latents that differ by a rounding may choose either. Such a row has the same number of active
    # latents on both sides, and the values in dispute are equal to within the tolerance.
    disputed = (features > 0) != (ours["features"] > 0)
    values = torch.maximum(features, ours["features"])
    highest = torch.where(disputed, values, -torch.inf).amax(dim=1)
    lowest = torch.where(disputed, values, torch.inf).amin(dim=1)
    same_count = (features > 0).sum(dim=1) == (ours["features"] > 0).sum(dim=1)
    tied = disputed.any(dim=1) & same_count & (highest - lowest <= TOLERANCE * scale)

    rows = len(difference)
    encode_error = torch.where(tied[:, None], 0, difference).max().item() / scale
    decode_scale = reconstruction.abs().max().item()
    decode_error = (reconstruction - ours["reconstruction"]).abs().max().item() / max(decode_scale, 1e-30)
    agrees = (
        # Written this way round, NaN is a mismatch.
        encode_error <= TOLERANCE and decode_error <= TOLERANCE and tied.sum().item() <= TIED_ROWS * rows
    )
    l0 = (features > 0).sum(dim=1).float().mean().item()
    return agrees, (
        f"{sae.cfg.architecture()} {sae.cfg.d_in} x {sae.cfg.d_sae}, {rows} rows, L0 {l0:.1f}, "
        f"encode error {encode_error:.1e}, decode error {decode_error:.1e}, {int(tied.sum())} tied rows"
    )


def main(arguments):
    if not arguments or len(arguments) % 2 != 0:
        print(f"usage: {Path(sys.argv[0]).name} MODEL REFERENCE [MODEL REFERENCE ...]", file=sys.stderr)
        return 2
    try:
        import sae_lens
    except ModuleNotFoundError as error:
        if error.name != "sae_lens":
            raise
        print("skipped: sae-lens is not installed")
        return 0
    agreed = True
    for model_folder, reference_file in zip(arguments[::2], arguments[1::2]):
        try:
            agrees, line = compare(model_folder, reference_file)
        except Exception as error:  # sae-lens, torch and safetensors each raise their own kinds
            agrees, line = False, f"{type(error).__name__}: {' '.join(str(error).split())}"
        print(f"{'ok' if agrees else 'mismatch'}: sae-lens {sae_lens.__version__}: {line}")
        agreed = agreed and agrees
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
