# Started once per case where the challenge keeps containers running (container: warm). Delete it to be started
# for each call instead.
set -e
exec python3 predict.py serve
