export {
  decodeSafetensors,
  encodeSafetensors,
  type SafetensorsData,
  type SafetensorsDtype,
  SafetensorsError,
  type SafetensorsFile,
  type SafetensorsInput,
  safetensorsParts,
  type SafetensorsTensor,
} from "./safetensors.ts";
