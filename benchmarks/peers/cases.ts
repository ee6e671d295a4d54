/** Who is measured against whom: the peers' cases, and which of our models each is compared with. */
import { deepWidths, type Shape } from "../src/shapes.ts";
import type { TrainerModel } from "../src/trainer.ts";

/** Where a peer comes from, each with a process of its own kind. */
export const SYSTEMS = ["torch", "onnx", "tfjs"] as const;
export type PeerSystem = (typeof SYSTEMS)[number];

/** A training step of another system. */
export interface PeerCase {
  /** For the table. */
  readonly name: string;
  /** Our model that does the same. */
  readonly model: TrainerModel;
  readonly system: PeerSystem;
  /** Names of the shapes at which it is measured. */
  readonly shapes: readonly string[];
  /** Whether it can use more than one thread. */
  readonly threads: boolean;
  /** What its process is asked to open. */
  readonly open: Readonly<Record<string, string | boolean>>;
  /** The allocator keeps memory and uses large pages: worth a third of the time to some steps of PyTorch. */
  readonly tuned: boolean;
}

const EVERY_SHAPE = ["S", "M", "L"];

/** All peers, the plainest first. */
export const PEERS: readonly PeerCase[] = [
  {
    name: "PyTorch, dense TopK, float32",
    model: "topk",
    system: "torch",
    shapes: EVERY_SHAPE,
    threads: true,
    open: { case: "dense-topk", fused: false, amp: false },
    tuned: false,
  },
  {
    name: "PyTorch, sparse TopK, float32, fused Adam, tuned",
    model: "topk",
    system: "torch",
    shapes: EVERY_SHAPE,
    threads: true,
    open: { case: "sparse-topk", fused: true, amp: false },
    tuned: true,
  },
  {
    name: "PyTorch, sparse TopK, bfloat16 encoder, fused Adam, tuned",
    model: "topk",
    system: "torch",
    shapes: EVERY_SHAPE,
    threads: true,
    open: { case: "sparse-topk", fused: true, amp: true },
    tuned: true,
  },
  {
    name: "onnxruntime-node, dense TopK, graph built by hand",
    model: "topk",
    system: "onnx",
    shapes: EVERY_SHAPE,
    threads: true,
    open: { architecture: "topk" },
    tuned: false,
  },
  {
    // At M one step takes most of a minute; at L several.
    name: "TensorFlow.js, dense TopK, WebAssembly, one thread",
    model: "topk",
    system: "tfjs",
    shapes: ["S", "M"],
    threads: false,
    open: {},
    tuned: false,
  },
  {
    // From the start of training, where half of our latents are active; --race shows what comes after.
    name: "PyTorch, dense ReLU + L1, float32",
    model: "relu",
    system: "torch",
    shapes: EVERY_SHAPE,
    threads: true,
    open: { case: "dense-relu", fused: false, amp: false },
    tuned: false,
  },
  {
    name: "onnxruntime-node, dense ReLU + L1, graph built by hand",
    model: "relu",
    system: "onnx",
    shapes: EVERY_SHAPE,
    threads: true,
    open: { architecture: "relu" },
    tuned: false,
  },
  {
    name: "PyTorch, deep autoencoder, float32",
    model: "deep",
    system: "torch",
    shapes: ["M"],
    threads: true,
    open: { case: "deep", fused: false, amp: false },
    tuned: false,
  },
];

/** The allocator's settings of a tuned process (glibc; elsewhere they do nothing). */
export const TUNED_ENVIRONMENT: Readonly<Record<string, string>> = {
  GLIBC_TUNABLES: "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=100000000000:glibc.malloc.hugetlb=1",
};

/** How much is measured of a model at a shape. */
export interface Effort {
  /** Turns of everyone. */
  readonly rounds: number;
  /** Our uncounted steps at the start of each turn, a process of its own. */
  readonly warmupSteps: number;
  /** Timed steps of ours and of a peer in one turn. */
  readonly ourSteps: number;
  readonly peerSteps: number;
}

/** Enough for a second or more of each contender's time in each turn, and some minutes in all. */
export function effortFor(shape: Shape, model: TrainerModel): Effort {
  const { name } = shape;
  const { warmup: warmupSteps, timed: ourSteps } = shape.trainerSteps;
  if (name === "S") return { rounds: 5, warmupSteps, ourSteps, peerSteps: 10 };
  // Steps of ReLU take seconds from here on, at the start of training.
  if (model === "relu") {
    return name === "M"
      ? { rounds: 2, warmupSteps: 1, ourSteps: 2, peerSteps: 2 }
      : { rounds: 2, warmupSteps: 1, ourSteps: 2, peerSteps: 1 };
  }
  return { rounds: 3, warmupSteps, ourSteps, peerSteps: name === "M" ? 3 : 2 };
}

/** A shape as the peers' processes read it. */
export function peerShape(shape: Shape): object {
  return { ...shape, widths: deepWidths(shape) };
}
