#!/usr/bin/env bash
# Pillow 12.3.0 opens a PNG of 16 bits a channel in colour as mode RGB and keeps the high byte of each value, with no warning and no mode that says so.
# A camera's 12 bits in 16 (0 to 4095) become 0 to 15: as good as black. Grey 16-bit PNGs keep all their bits (mode I;16).
# Valid input: a PNG written here by the specification (ISO/IEC 15948), colour type 2, bit depth 16, two pixels. Seen: mode RGB, (15, 8, 0) for (4000, 2100, 100).
# Usage: bash pillow-16-bit-colour.sh   (FINDING_PYTHON=python with Pillow 12.3.0 saves the installation). Exit status 0: as described.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python=${FINDING_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"; "$folder/venv/bin/pip" install -q pillow==12.3.0; python=$folder/venv/bin/python
fi
"$python" - "$folder" <<'P'
import struct, sys, zlib
import PIL
from PIL import Image

if PIL.__version__ != "12.3.0":
    sys.exit(f"this is about Pillow 12.3.0, and {PIL.__version__} is installed")

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

pixels = [(4000, 2100, 100), (255, 256, 65535)]
row = b"\0" + b"".join(struct.pack(">3H", *pixel) for pixel in pixels)
path = f"{sys.argv[1]}/colour.png"
with open(path, "wb") as file:
    file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b""))
with Image.open(path) as image:
    seen = [image.getpixel((place, 0)) for place in range(2)]
    print("mode", image.mode, "pixels", seen)
expected = [tuple(value >> 8 for value in pixel) for pixel in pixels]
sys.exit(0 if image.mode == "RGB" and seen == expected else "this has changed: look at what keeps more than 8 bits of colour again")
P
