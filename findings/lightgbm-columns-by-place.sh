#!/usr/bin/env bash
# lightgbm 4.7.0: a model that was trained with a pandas DataFrame knows the names of its columns, and does not look at
# those of the DataFrame that it predicts for: columns are taken by their place. DataFrame([body]) of a JSON body has
# them as the client wrote them, so {"income": …, "age": …} is answered as if the age were the income, by the Booster
# and by the scikit-learn interface; so are columns of other names. validate_features=True, which is not the default,
# refuses it. Under the same conditions scikit-learn 1.7.2 and xgboost 3.2.0 refuse, and catboost 1.2.10 puts the
# columns in order, and drops one that it does not know.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q lightgbm==4.7.0 xgboost-cpu==3.2.0 catboost==1.2.10 scikit-learn==1.7.2 pandas==2.3.3 numpy==2.2.6
cd "$work"
venv/bin/python -W ignore - 2> errors <<'PY' || { cat errors >&2; exit 1; }
import json

import catboost
import lightgbm
import numpy as np
import pandas
import xgboost
from sklearn.linear_model import LinearRegression

rng = np.random.default_rng(1)
train = pandas.DataFrame({"age": rng.uniform(20, 80, 500), "income": rng.uniform(0, 10, 500)})
target = 2 * train["age"] - 10 * train["income"]
bodies = {
    "as trained": '{"age": 70, "income": 5}',
    "other order": '{"income": 5, "age": 70}',
    "other names": '{"years": 70, "salary": 5}',
    "one more": '{"age": 70, "income": 5, "city": 1}',
}
models = {
    "scikit-learn": LinearRegression(),
    "xgboost": xgboost.XGBRegressor(n_estimators=50),
    "catboost": catboost.CatBoostRegressor(iterations=200, verbose=0, allow_writing_files=False),
    "lightgbm": lightgbm.LGBMRegressor(n_estimators=50, verbose=-1),
}
for model in models.values():
    model.fit(train, target)
booster = models["lightgbm"].booster_
ways = {
    **{name: model.predict for name, model in models.items()},
    "lightgbm Booster": booster.predict,
    "lightgbm Booster, validating": lambda frame: booster.predict(frame, validate_features=True),
}


def ask(predict, body):
    try:
        return round(predict(pandas.DataFrame([json.loads(body)])).item())
    except Exception as error:
        return type(error).__name__


answers = {name: {what: ask(predict, body) for what, body in bodies.items()} for name, predict in ways.items()}
for name, told in answers.items():
    print(f"{name}: {told}")
    assert 80 < told["as trained"] < 100, told
for name in ("lightgbm", "lightgbm Booster"):
    assert answers[name]["other order"] < 50, answers[name]
    assert answers[name]["other names"] == answers[name]["as trained"], answers[name]
    assert answers[name]["one more"] == "LightGBMError", answers[name]
assert answers["lightgbm Booster, validating"]["other order"] == "LightGBMError"
for name in ("scikit-learn", "xgboost"):
    assert all(answers[name][what] == "ValueError" for what in list(bodies)[1:]), answers[name]
of_catboost = answers["catboost"]
assert of_catboost["other order"] == of_catboost["one more"] == of_catboost["as trained"], of_catboost
assert of_catboost["other names"] == "CatBoostError", of_catboost
print("as described")
PY
