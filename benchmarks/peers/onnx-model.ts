/**
 * Makes ONNX models node by node and writes them as protocol buffers, as onnxruntime reads them. Field numbers are those
 * of onnx.proto (opset 17); only what our graphs need is here.
 */

/** Bytes of one message, field by field. */
class Message {
  readonly #bytes: number[] = [];

  integer(field: number, value: number): this {
    this.#varint(8 * field);
    this.#varint(value);
    return this;
  }

  float(field: number, value: number): this {
    this.#varint(8 * field + 5);
    this.#bytes.push(...new Uint8Array(Float32Array.of(value).buffer));
    return this;
  }

  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  message(field: number, value: Message): this {
    return this.bytes(field, value.finish());
  }

  bytes(field: number, value: Uint8Array): this {
    this.#varint(8 * field + 2);
    this.#varint(value.length);
    for (const byte of value) this.#bytes.push(byte);
    return this;
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  /** Seven bits a byte, the lowest first. Negative numbers are not needed but for −1, which has ten bytes. */
  #varint(value: number): void {
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest >= 128n; rest >>= 7n) this.#bytes.push(Number(rest & 127n) | 128);
    this.#bytes.push(Number(rest));
  }
}

/** Element types of tensors, as ONNX numbers them. */
const FLOAT = 1;
const INT64 = 7;
/** Types of attributes. */
const ATTRIBUTE = { float: 1, integer: 2, integers: 7 } as const;

/** A value in the graph: the name of a tensor. */
export type Value = string;

/** An operator's attributes: whole numbers, or lists of them; `alpha`, `beta` and `to` go by their names. */
export type Attributes = Readonly<Record<string, number | readonly number[]>>;

const FLOAT_ATTRIBUTES: readonly string[] = ["alpha", "beta"];

/** A graph under construction. All tensors are float32 but for lists of axes and the like. */
export class GraphBuilder {
  readonly #graph = new Message();
  #names = 0;

  /** A tensor that is fed at each run. */
  input(name: string, dims: readonly number[]): Value {
    this.#graph.message(11, valueInfo(name, dims));
    return name;
  }

  /** Hands out `value` under another name. */
  output(name: string, value: Value, dims: readonly number[]): void {
    this.#node("Identity", [value], [name], {});
    this.#graph.message(12, valueInfo(name, dims));
  }

  /** The one output of an operator. */
  apply(operator: string, inputs: readonly Value[], attributes: Attributes = {}): Value {
    return this.#node(operator, inputs, [this.#fresh(operator)], attributes);
  }

  /** The first of an operator's two outputs. */
  applyFirst(operator: string, inputs: readonly Value[], attributes: Attributes): Value {
    const outputs = [this.#fresh(operator), this.#fresh("unused")] as const;
    return this.#node(operator, inputs, outputs, attributes);
  }

  /** A float32 scalar. */
  scalar(value: number): Value {
    const data = new Uint8Array(Float32Array.of(value).buffer);
    return this.#constant(FLOAT, [], data);
  }

  /** A list of int64 numbers. */
  integers(...values: readonly number[]): Value {
    const data = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    return this.#constant(INT64, [values.length], data);
  }

  /** The model's bytes. */
  finish(): Uint8Array {
    this.#graph.text(2, "step");
    const opset = new Message().text(1, "").integer(2, 17);
    return new Message().integer(1, 8).message(7, this.#graph).message(8, opset).finish();
  }

  #fresh(what: string): string {
    return `${what}.${this.#names++}`;
  }

  #constant(type: number, dims: readonly number[], data: Uint8Array): Value {
    const name = this.#fresh("constant");
    const tensor = new Message();
    for (const dim of dims) tensor.integer(1, dim);
    this.#graph.message(5, tensor.integer(2, type).text(8, name).bytes(9, data));
    return name;
  }

  /** Adds an operator; returns its first output. */
  #node(
    operator: string,
    inputs: readonly Value[],
    outputs: readonly [string, ...string[]],
    attributes: Attributes,
  ): Value {
    const node = new Message();
    for (const input of inputs) node.text(1, input);
    for (const output of outputs) node.text(2, output);
    node.text(3, outputs[0]).text(4, operator);
    for (const [name, value] of Object.entries(attributes)) node.message(5, attribute(name, value));
    this.#graph.message(1, node);
    return outputs[0];
  }
}

function attribute(name: string, value: number | readonly number[]): Message {
  const message = new Message().text(1, name);
  if (typeof value !== "number") {
    for (const entry of value) message.integer(8, entry);
    return message.integer(20, ATTRIBUTE.integers);
  }
  return FLOAT_ATTRIBUTES.includes(name)
    ? message.float(2, value).integer(20, ATTRIBUTE.float)
    : message.integer(3, value).integer(20, ATTRIBUTE.integer);
}

function valueInfo(name: string, dims: readonly number[]): Message {
  const shape = new Message();
  for (const dim of dims) shape.message(1, new Message().integer(1, dim));
  const tensor = new Message().integer(1, FLOAT).message(2, shape);
  return new Message().text(1, name).message(2, new Message().message(1, tensor));
}
