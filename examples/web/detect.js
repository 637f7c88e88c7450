// Runs a detector exported by `detzoo export`, with only onnxruntime-web.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

/** Opens the bytes (ArrayBuffer) of an exported detector. */
export async function open(buffer) {
  const facts = metadata(new Uint8Array(buffer));
  if (!("detzoo" in facts)) throw Error("this file was not exported by detzoo");
  const session = await ort.InferenceSession.create(buffer);
  const {shape} = session.inputMetadata.find(input => input.name === "pixels");
  // A name instead of a number: any number up to a largest one.
  return {session, facts, batch: Number.isInteger(shape[0]) ? shape[0] : 1};
}

/** Detects objects in a picture (ImageData) -> [{name, score, box: [x1, y1, x2, y2]}, ...]. */
export async function detect({session, facts, batch}, picture, minScore = 0.3) {
  const fact = key => JSON.parse(facts[key]);

  // Resize to fit the frame for the picture's format, then normalize; beyond it, the input is padding.
  const frame = fact("frames")[Number(picture.height > picture.width)];
  let y = frame[0] / picture.height, x = frame[1] / picture.width;
  if (fact("keep_ratio")) x = y = Math.min(x, y);
  const size = [
    Math.min(frame[0], Math.floor(picture.height * y + 0.5)),
    Math.min(frame[1], Math.floor(picture.width * x + 0.5)),
  ];
  const smallest = fact("smallest"); // any size from that to the largest, in steps of 32
  const [height, width] = smallest === null ? fact("largest")
    : size.map((side, axis) => Math.max(Math.ceil(side / 32) * 32, smallest[axis]));
  const resized = resize(picture, ...size);
  const mean = fact("pixel_mean"), std = fact("pixel_std"), padding = fact("padding");
  const area = height * width;
  const pixels = new Float32Array(batch * 3 * area);
  for (let channel = 0; channel < 3; channel++) {
    const source = facts.channel_order === "rgb" ? channel : 2 - channel;
    const plane = pixels.subarray(channel * area, (channel + 1) * area);
    if (padding !== null) plane.fill((padding - mean[channel]) / std[channel]);
    for (let row = 0; row < size[0]; row++)
      for (let column = 0; column < size[1]; column++) {
        const value = resized[(row * size[1] + column) * 3 + source];
        plane[row * width + column] = (value - mean[channel]) / std[channel];
      }
  }
  for (let image = 1; image < batch; image++) pixels.copyWithin(image * 3 * area, 0, 3 * area);

  const sizes = BigInt64Array.from({length: 2 * batch}, (_, i) => BigInt(size[i % 2]));
  const given = {
    pixels: new ort.Tensor("float32", pixels, [batch, 3, height, width]),
    sizes: new ort.Tensor("int64", sizes, [batch, 2]),
  };
  const wanted = ["boxes", "scores", "labels", "num"];
  const found = await session.run(
    Object.fromEntries(session.inputNames.map(name => [name, given[name]])), wanted);
  const [boxes, scores, labels, num] = wanted.map(name => found[name].data);
  const names = fact("class_names");
  const scale = [size[1] / picture.width, size[0] / picture.height];
  const detections = [];
  for (let k = 0; k < num[0]; k++)
    if (scores[k] >= minScore) {
      const box = Array.from(boxes.subarray(4 * k, 4 * k + 4), (side, i) =>
        Math.min(Math.max(side / scale[i % 2], 0), i % 2 ? picture.height : picture.width));
      detections.push({name: names[labels[k]], score: scores[k], box});
    }
  return detections;
}

/** Bilinear, between the centers of pixels, as OpenCV's: canvases differ from browser to browser.
 * Returns the red, green and blue of each pixel. */
function resize({data, width: oldWidth, height: oldHeight}, height, width) {
  const rows = neighbors(oldHeight, height), columns = neighbors(oldWidth, width);
  const resized = new Uint8ClampedArray(height * width * 3); // rounds
  rows.forEach(([top, bottom, down], row) =>
    columns.forEach(([left, right, across], column) => {
      for (let channel = 0; channel < 3; channel++) {
        const at = (y, x) => data[(y * oldWidth + x) * 4 + channel];
        const upper = at(top, left) * (1 - across) + at(top, right) * across;
        const lower = at(bottom, left) * (1 - across) + at(bottom, right) * across;
        resized[(row * width + column) * 3 + channel] = upper * (1 - down) + lower * down;
      }
    }));
  return resized;
}

/** For each new place, the old ones on both sides, and how far it is from the first. */
function neighbors(before, after) {
  return Array.from({length: after}, (_, place) => {
    const center = Math.max((place + 0.5) * before / after - 0.5, 0);
    const first = Math.min(Math.floor(center), before - 1);
    return [first, Math.min(first + 1, before - 1), center - first];
  });
}

/** The metadata of an ONNX file, which onnxruntime-web does not show: field 14 of the model holds
 * pairs of a key (1) and a value (2), see https://protobuf.dev/programming-guides/encoding. */
function metadata(model) {
  const facts = {};
  for (const [number, content] of fields(model)) {
    if (number !== 14) continue;
    const pair = Object.fromEntries(fields(content));
    const [key, value] = [pair[1], pair[2]].map(bytes => new TextDecoder().decode(bytes));
    facts[key] = value;
  }
  return facts;
}

function* fields(bytes) {
  let at = 0;
  const integer = () => {
    let value = 0, scale = 1, byte;
    do {
      byte = bytes[at++];
      value += (byte & 127) * scale;
      scale *= 128;
    } while (byte > 127);
    return value;
  };
  while (at < bytes.length) {
    const tag = integer(), kind = tag % 8;
    if (kind === 0) integer();
    else if (kind === 2) {
      const length = integer();
      yield [Math.floor(tag / 8), bytes.subarray(at, at += length)];
    } else throw Error("this is not an ONNX file");
  }
}
