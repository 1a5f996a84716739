#!/bin/sh
# Makes demo.gguf from nothing: training/run.sh [MINUTES] [FOLDER]. Resumes nothing; the data are seeded.
set -eu
cd "$(dirname "$0")/.."
minutes=${1:-90}
folder=${2:-build/demo}
# Large tensors come and go all the time: keep their pages instead of returning them to the system.
export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456
nice -n 10 python -m training.train --out "$folder" --minutes "$minutes"
python -m training.export_gguf "$folder/checkpoint.pt" "$folder/demo.gguf"
echo "made $folder/demo.gguf; serve it, then: python -m training.evaluate BASE_URL --model NAME"
