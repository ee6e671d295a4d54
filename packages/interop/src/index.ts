export { type CrosscoderColumn, crosscoderParts } from "./crosscoder.ts";
export {
  exportSaeLens,
  type JsonValue,
  SAE_LENS_VERSION,
  type SaeLensArchitecture,
  SaeLensError,
  type SaeLensFiles,
  type SaeLensMetadata,
  type SaeLensModel,
  saeLensParts,
} from "./sae-lens.ts";
