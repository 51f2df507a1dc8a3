// Pictures of a webcam into a class: while the button is held (by pointer, Space or Enter) one every EVERY ms, or a burst of BURST at one press.

const EVERY = 150; // ms
const BURST = 20;
const QUALITY = 0.92;

const WHY = {
  NotAllowedError: "The browser was not allowed to use the camera. Allow it in the address bar, and try again.",
  NotFoundError: "There is no camera on this machine. Bring pictures as files instead.",
  NotReadableError: "Another program is using the camera. Close it, and try again.",
  OverconstrainedError: "The camera gives no pictures of a usual size. Bring pictures as files instead.",
};
const UNSAFE = "The browser lends the camera only to pages of this machine (localhost) or with https. Open Thaw there, or bring pictures as files.";

export function webcam(make, name, keep, onClose) {
  const video = make("video", { muted: true, playsInline: true, autoplay: true, aria: { label: "What the camera sees" } });
  const told = make("p", { className: "thaw-cam-told", role: "status", textContent: "Asking for the camera …" });
  const hold = make("button", { type: "button", className: "thaw-cam-hold", textContent: "Hold to record", disabled: true });
  const burst = make("button", { type: "button", textContent: `Burst of ${BURST}`, disabled: true });
  const close = make("button", { type: "button", textContent: "Close the camera" });
  const box = make("div", { className: "thaw-cam", role: "group", aria: { label: `Camera for ${name}` } }, video, told, make("div", { className: "thaw-cam-row" }, hold, burst, close));
  const canvas = document.createElement("canvas");
  let stream = null, timer = null, taken = 0, left = Infinity, round = "", gone = false;

  const take = () => {
    if (!video.videoWidth) return;
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    const number = String(++taken).padStart(3, "0");
    // One burst is one group: its pictures are nearly the same, so they should not be split between training and test.
    canvas.toBlob((blob) => blob && keep({ blob, name: `webcam-${round}_${number}.jpg` }), "image/jpeg", QUALITY);
    told.textContent = `${taken.toLocaleString("en")} ${taken === 1 ? "picture" : "pictures"} taken`;
    if (--left <= 0) stop();
  };
  const begin = (many) => {
    if (timer !== null || !stream) return;
    round = new Date().toISOString().replace(/\D/g, "").slice(0, 17);
    left = many;
    take();
    if (left > 0) timer = setInterval(take, EVERY);
    hold.dataset.recording = "true";
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    delete hold.dataset.recording;
  };
  hold.onpointerdown = (event) => { hold.setPointerCapture(event.pointerId); begin(Infinity); };
  hold.onpointerup = hold.onpointercancel = hold.onblur = stop;
  hold.onkeydown = (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (!event.repeat) begin(Infinity);
  };
  hold.onkeyup = (event) => { if (event.key === " " || event.key === "Enter") stop(); };
  burst.onclick = () => begin(BURST);
  const end = () => {
    gone = true;
    stop();
    stream?.getTracks().forEach((track) => track.stop());
    box.remove();
    onClose();
  };
  close.onclick = end;
  box.onkeydown = (event) => { if (event.key === "Escape") end(); };

  const open = async () => {
    if (!navigator.mediaDevices?.getUserMedia) throw new Error(UNSAFE);
    const found = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 } } });
    if (gone) { found.getTracks().forEach((track) => track.stop()); return; }
    stream = found;
    video.srcObject = stream;
    await video.play();
    told.textContent = "Hold the button, or Space on it: a picture every 0.15 s. Move a little, so that they differ.";
    hold.disabled = burst.disabled = false;
    hold.focus();
  };
  open().catch((error) => {
    told.textContent = WHY[error.name] ?? error.message;
    told.dataset.problem = "true";
    video.hidden = true;
  });
  return { box, end };
}
