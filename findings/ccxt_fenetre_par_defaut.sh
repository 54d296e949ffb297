#!/usr/bin/env bash
# ccxt 4.5.90, Python 3.11.
# Supposé avant l'essai : une instance dont `rollingWindowSize` est positif tient cette fenêtre de son exchange.
# Vu : la valeur de base est 60 000 ms pour toutes les classes ; celles qui ne déclarent rien la portent aussi, et leur limiteur
# n'est pas celui d'une fenêtre. Lue telle quelle, elle ferait partir d'un trait, vers des exchanges qui n'admettent que
# quelques requêtes par seconde, tout ce que soixante secondes de `rateLimit` permettraient.
# Seul ce que la classe écrit elle-même, et non ce que `describe()` rend, fondu avec la base, dit quelque chose de l'exchange.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import inspect
import sys

import ccxt

positives, declarees = 0, 0
for nom in ccxt.exchanges:
    exchange = getattr(ccxt, nom)()
    positives += (exchange.rollingWindowSize or 0) > 0
    lignee = [classe for classe in type(exchange).__mro__ if classe.__module__ not in ("ccxt.base.exchange", "builtins")]
    declarees += any("rollingWindowSize" in inspect.getsource(classe) for classe in lignee)
print(f"ccxt {ccxt.__version__} ; {len(ccxt.exchanges)} classes : fenêtre positive {positives}, déclarée {declarees}")
sys.exit(not (positives >= 80 and declarees <= 30))
PY
