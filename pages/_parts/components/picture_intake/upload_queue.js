// Files on their way to the server, a few at a time. One that breaks off is tried again twice; what cannot be taken is told with its reason.

const AT_ONCE = 6;
const TRIES = 3;

export const mark = { "X-Thaw": "1" }; // other sites' pages cannot set it

export async function answer(response) {
  let told = null;
  try { told = await response.json(); } catch { /* not ours: a proxy, or a server that is gone */ }
  if (response.ok) return told;
  throw Object.assign(new Error(told?.message ?? `the server answers ${response.status}`), { status: response.status });
}

export class UploadQueue {
  constructor(address, onChange) {
    this.address = address; // of the staging
    this.onChange = onChange;
    this.forget();
  }

  forget() {
    this.waiting = [];
    this.working = new Map(); // file to how many bytes of it have gone
    [this.files, this.done, this.bytes, this.gone] = [0, 0, 0, 0];
    this.failed = [];
  }

  get busy() {
    return this.waiting.length + this.working.size > 0;
  }

  get share() {
    const under = [...this.working.values()].reduce((sum, each) => sum + each.gone, 0);
    return this.bytes ? (this.gone + under) / this.bytes : 1;
  }

  add(files) { // of {blob, name, class}; class is undefined for what is kept as it came
    if (!this.busy) this.forget();
    for (const file of files) {
      this.files += 1;
      this.bytes += file.blob.size;
      this.waiting.push({ ...file, tries: 0 });
    }
    this.next();
    this.onChange();
  }

  cancel() {
    this.waiting = [];
    for (const { request } of this.working.values()) request.abort();
    this.working.clear();
    this.onChange(true);
  }

  next() {
    while (this.waiting.length && this.working.size < AT_ONCE) this.send(this.waiting.shift());
  }

  send(file) {
    const request = new XMLHttpRequest(); // fetch does not tell how far an upload is
    const under = { request, gone: 0 };
    this.working.set(file, under);
    const where = new URLSearchParams({ name: file.name, ...(file.class === undefined ? {} : { class: file.class }) });
    request.open("PUT", new URL(`${this.address}/file?${where}`, document.baseURI));
    for (const [name, value] of Object.entries(mark)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => { under.gone = event.loaded; this.onChange(); };
    request.onload = () => this.ended(file, request.status < 300 ? null : reason(request), request.status < 500 || request.status === 507);
    request.onerror = () => this.ended(file, "the connection broke off", false);
    request.send(file.blob);
  }

  ended(file, problem, final) {
    if (!this.working.delete(file)) return; // cancelled
    if (problem && !final && ++file.tries < TRIES) {
      setTimeout(() => { this.waiting.push(file); this.next(); }, 500 * file.tries);
      this.working.size || this.onChange();
      return;
    }
    this.done += 1;
    this.gone += file.blob.size;
    if (problem) this.failed.push({ name: file.name, problem, file: { blob: file.blob, name: file.name, class: file.class } });
    this.next();
    this.onChange(!this.busy);
  }
}

function reason(request) {
  try { return JSON.parse(request.responseText).message; } catch { return `the server answers ${request.status}`; }
}

/** All files of a drop, those in dropped folders too, each as {blob, name}; the name has the folders in it. */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean); // gone after the first await
  if (!entries.length) return [...transfer.files].map((blob) => ({ blob, name: blob.name }));
  const found = [];
  const walk = async (entry, path) => {
    if (entry.isFile) {
      const blob = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
      if (blob) found.push({ blob, name: path + entry.name });
      return;
    }
    const reader = entry.createReader();
    for (;;) { // a hundred at a time
      const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
      if (!some.length) return;
      for (const each of some) await walk(each, `${path}${entry.name}/`);
    }
  };
  for (const entry of entries) await walk(entry, "");
  return found;
}

export const chosen = (input) => [...input.files].map((blob) => ({ blob, name: blob.webkitRelativePath || blob.name }));
