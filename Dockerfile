# Le collecteur, sans droits et sans rien d'autre que lui. Les données et le lot sont dans le volume /marche :
#   docker build -t ccxt-fr . && docker run --rm --user "$(id -u)" -v "$PWD:/marche" ccxt-fr --yaml lot.yaml \
#       --metriques ccxt_fr.prom
FROM python:3.12-slim
WORKDIR /app
COPY requirements.txt pyproject.toml README.md module_ccxt_fr_v2.py module_ccxt_fr.py runner_ccxt_batch.py ./
COPY bourse_locale bourse_locale
COPY annexes_ccxt_fr annexes_ccxt_fr
COPY module_ccxt_fr_v2-stubs module_ccxt_fr_v2-stubs
RUN pip install --no-cache-dir . && useradd --create-home --uid 1000 marche && mkdir /marche && chown marche /marche
USER marche
WORKDIR /marche
VOLUME /marche
# Sain : les métriques du lot ont moins de deux heures. Une tâche sans --metriques n'a pas de quoi le dire.
HEALTHCHECK --interval=5m CMD ["python", "-c", "import os, sys, time; sys.exit(time.time() - os.stat('ccxt_fr.prom').st_mtime > 7200)"]
ENTRYPOINT ["ccxt-fr-lot"]
