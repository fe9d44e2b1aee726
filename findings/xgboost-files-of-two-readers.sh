#!/usr/bin/env bash
# xgboost-cpu 3.2.0: what a model file of XGBRegressor answers depends on who reads it. The file has all trees, and the
# best iteration of early stopping as an attribute: XGBRegressor (and onnxmltools 1.16.0) predict with the trees up to
# that one, xgboost.Booster and treelite 4.8.1 with all. The file does not have the number that stands for a missing
# value: after XGBRegressor(missing=-999) is saved and loaded, missing is NaN again, and -999 an ordinary small value.
# Nothing is logged. So a server that reads the file with Booster answers otherwise than the training did, on the same
# rows.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q xgboost-cpu==3.2.0 scikit-learn==1.7.2 numpy==2.2.6 treelite==4.8.1 onnxmltools==1.16.0 \
    onnx==1.23.2 onnxruntime==1.32.0
cd "$work"
venv/bin/python -W ignore - 2> errors <<'PY' || { cat errors >&2; exit 1; }
import numpy as np
import onnxruntime
import treelite
import xgboost
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

rng = np.random.default_rng(1)
x = rng.random((600, 3)).astype(np.float32)
y = 5 * (x[:, 0] > 0.35) + 3 * x[:, 1] + rng.normal(size=600)
x[::5, 0] = -999
trained = xgboost.XGBRegressor(n_estimators=200, early_stopping_rounds=5, learning_rate=0.5, missing=-999)
trained.fit(x[:400], y[:400], eval_set=[(x[400:], y[400:])], verbose=False)
trained.save_model("model.ubj")
loaded = xgboost.XGBRegressor()
loaded.load_model("model.ubj")
booster = xgboost.Booster(model_file="model.ubj")
converted = convert_xgboost(loaded, initial_types=[("x", FloatTensorType([None, 3]))], target_opset=15)
session = onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
print(f"best iteration {trained.best_iteration}, rounds in the file {booster.num_boosted_rounds()}")
assert trained.best_iteration + 1 < booster.num_boosted_rounds()

whole = np.float32([[0.1, 0.5, 0.5], [0.9, 0.5, 0.5], [0.9, 0.1, 0.9]])
ways = {
    "XGBRegressor, as trained": trained.predict,
    "XGBRegressor, loaded": loaded.predict,
    "onnxmltools": lambda rows: session.run(None, {"x": rows})[0].ravel(),
    "Booster": lambda rows: booster.predict(xgboost.DMatrix(rows)),
    "treelite": lambda rows: treelite.gtil.predict(treelite.frontend.load_xgboost_model("model.ubj"), rows).ravel(),
}
expected = trained.predict(whole)
same = set()
for name, predict in ways.items():
    told = predict(whole)
    print(f"{name}: {told}")
    if np.allclose(told, expected, atol=1e-3):
        same.add(name)
assert same == {"XGBRegressor, as trained", "XGBRegressor, loaded", "onnxmltools"}, same
missing = np.float32([[-999, 0.5, 0.5]])
print("without a first feature, as trained:", trained.predict(missing), "loaded:", loaded.predict(missing))
print("missing, as trained:", trained.missing, "loaded:", loaded.missing)
assert trained.missing == -999 and np.isnan(loaded.missing)
assert not np.allclose(trained.predict(missing), loaded.predict(missing), atol=1e-2)
print("as described")
PY
