# Started once per call with `sh predict.sh`, in the image's WORKDIR. sh is not bash: no `source`, no `[[ ]]`.
set -e
exec python3 predict.py
