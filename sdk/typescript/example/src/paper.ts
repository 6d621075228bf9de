// SPDX-License-Identifier: Apache-2.0
//
// What a participant is handed: an address whose fragment names server, code and pseudonym, as a picture. A fragment is not sent to servers.

export interface Paper {
  server: string;
  code: string;
  participant: string;
}

/** What an address says; nothing when it is not one of a paper. */
export function paperOf(address: string): Paper | undefined {
  let fragment: URLSearchParams;
  try {
    fragment = new URLSearchParams(new URL(address).hash.slice(1));
  } catch {
    return undefined;
  }
  const [server, code, participant] = [fragment.get('server'), fragment.get('code'), fragment.get('participant')];
  return server && code && participant ? { server, code, participant } : undefined;
}

interface Detector {
  detect(source: HTMLVideoElement): Promise<{ rawValue: string }[]>;
}

/** Looks through the camera until there is a QR code, and gives its text; nothing when somebody stopped it. */
export async function scan(view: HTMLVideoElement, stop: HTMLElement): Promise<string | undefined> {
  const detector: Detector = new (globalThis as unknown as { BarcodeDetector: new (options: object) => Detector }).BarcodeDetector({
    formats: ['qr_code'],
  });
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  let stopped = false;
  stop.addEventListener('click', () => (stopped = true), { once: true });
  try {
    view.srcObject = stream;
    await view.play();
    while (!stopped) {
      const [found] = await detector.detect(view);
      if (found !== undefined) return found.rawValue;
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
    return undefined;
  } finally {
    for (const track of stream.getTracks()) track.stop();
    view.srcObject = null;
  }
}
