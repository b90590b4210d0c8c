// Does what pages do, and tells what came of it: `done` is a promise of that, as JSON.
let loaded = 0;
const id = new URLSearchParams(location.search).get("id");

async function upload() {
  const body = new Uint8Array(5 * 1024 * 1024).map((_, at) => at % 251);
  const response = await fetch("/upload", { method: "POST", body });
  const expected = await crypto.subtle.digest("SHA-256", body);
  const hex = [...new Uint8Array(expected)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const told = await response.json();
  return [response.status, told.bytes === body.length, told.sha256 === hex];
}

function ticks(count) {
  return new Promise((resolve, reject) => {
    const seen = [];
    const source = new EventSource(`/ticks?n=${count}&id=${id}-ticks`);
    source.onerror = () => reject(new Error("the stream of events broke"));
    source.onmessage = (event) => {
      seen.push(event.data);
      if (seen.length === count) {
        source.close();
        resolve(seen.every((data, at) => data === `tick ${at}`));
      }
    };
  });
}

async function stream() {
  const response = await fetch("/download?framing=chunked&bytes=3000000");
  const reader = response.body.getReader();
  let bytes = 0;
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) bytes += piece.value.length;
  return bytes;
}

async function aborted() {
  const controller = new AbortController();
  const options = { signal: controller.signal };
  const response = await fetch(`/download?bytes=500000000&id=${id}-download`, options);
  await response.body.getReader().read();
  controller.abort();
  return true;
}

async function all() {
  const [uploaded, ticked, streamed, left] = await Promise.all([upload(), ticks(5), stream(), aborted()]);
  const empty = await fetch("/status?code=204");
  return { loaded, uploaded, ticked, streamed, left, empty: empty.status };
}

const done = new Promise((resolve) => addEventListener("load", resolve))
  .then(all)
  .catch((error) => ({ error: String(error) }))
  .then((result) => {
    document.body.append(JSON.stringify(result));
    return JSON.stringify(result);
  });
