/**
 * ONNX models whose weights are arrays of a node. Needs an onnxruntime for JavaScript, such as `onnxruntime-node`, beside
 * memblast; the model files are read and written without it.
 */
export {
  WeightInputs,
  type Feeds,
  type TensorClass,
  type WeightArray,
  type WeightNode,
  type WeightView,
  type Whole,
} from "./inputs.ts";
export { assignWeights, modelWithInputs, weightArrays, type OpenedModel, type Weight } from "./model.ts";
export { writeModel, type Attribute, type Graph, type Operator, type Value } from "./graph.ts";
