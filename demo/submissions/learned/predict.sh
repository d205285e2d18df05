# Answers every case in $INPUTS (default /workspace/inputs) into $OUTPUTS (default /workspace/outputs).
set -e
exec python3 "$(dirname "$0")/predict.py"
