// Shows the answer of a prediction: as a picture, as JSON, as text, or says how long it is.

import { bytes, make } from "./dom.js";

const LONGEST = 100_000;
const PICTURES = [["image/png", [0x89, 0x50, 0x4e, 0x47]], ["image/jpeg", [0xff, 0xd8, 0xff]], ["image/gif", [0x47, 0x49, 0x46, 0x38]]];

/** Return an element that shows the body of a response. */
export async function answerOf(response) {
  const body = new Uint8Array(await response.arrayBuffer());
  const picture = PICTURES.find(([, start]) => start.every((byte, at) => body[at] === byte));
  if (picture) return pictureOf(body, picture[0]);
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    return make("p", {}, `The answer is ${bytes(body.length)} that are no text and no picture.`);
  }
  const shown = indented(text);
  const cut = shown.length > LONGEST ? `${shown.slice(0, LONGEST)}\n… (${bytes(body.length)} in all)` : shown;
  return make("pre", { tabindex: "0", "aria-label": "Answer" }, cut);
}

function pictureOf(body, type) {
  // A picture cannot run anything; an SVG could, and is shown as text.
  const address = URL.createObjectURL(new Blob([body], { type }));
  const image = make("img", { alt: `The answer, a picture of ${bytes(body.length)}`, src: address });
  image.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
  return image;
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
