/** The compiled loops of `assembly/`, instantiated over a memory. */
import { GENERATOR_MODULE } from "./module.generated.ts";

/** Functions of assembly/generator.ts. Pointers are byte offsets into the memory. */
export interface GeneratorExports {
  scoreRows(
    scores: number,
    maxima: number,
    factor: number,
    threshold: number,
    normals: number,
    rank: number,
    count: number,
  ): void;
  sumDirections(
    out: number,
    bias: number,
    directions: number,
    features: number,
    weights: number,
    count: number,
    dIn: number,
  ): void;
  addGram(gram: number, w: number, rows: number, dIn: number): void;
  mirrorGram(gram: number, dIn: number): void;
  timesGram(product: number, w: number, gram: number, rows: number, dIn: number): void;
  repel(
    w: number,
    m: number,
    v: number,
    product: number,
    rows: number,
    dIn: number,
    n: number,
    rate: number,
    root: number,
  ): void;
}

/** A shared WebAssembly memory; described here because Node's types do not include WebAssembly's. */
export interface SharedWasmMemory {
  readonly buffer: SharedArrayBuffer;
}

declare const WebAssembly: {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: true }) => SharedWasmMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { env: { memory: SharedWasmMemory } },
  ) => { readonly exports: unknown };
};

/** A memory that threads may share; its buffer holds at least `bytes`. @throws RangeError when there is none left. */
export function allocateShared(bytes: number): SharedWasmMemory {
  const pages = Math.max(1, Math.ceil(bytes / 65536));
  return new WebAssembly.Memory({ initial: pages, maximum: 65536, shared: true });
}

/** The functions over a memory of `allocateShared`. */
export function instantiate(memory: SharedWasmMemory): GeneratorExports {
  const module = new WebAssembly.Module(Buffer.from(GENERATOR_MODULE, "base64"));
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return exports as unknown as GeneratorExports;
}

/** Hands out aligned byte ranges, one after the other. */
export class Allocator {
  #end = 0;

  /** Bytes handed out. */
  get end(): number {
    return this.#end;
  }

  /** The offset of a new range, a multiple of 64. */
  take(bytes: number): number {
    const at = this.#end;
    this.#end = at + Math.ceil(bytes / 64) * 64;
    return at;
  }
}
