"use strict";
// Dessine la carte et la série choisie. Une série n'est dessinée que lorsqu'on la regarde : mille n'en coûtent pas plus.
(() => {
  const donnees = JSON.parse(document.getElementById("donnees").textContent);
  const { series, carte, couleurs, sens } = donnees;
  const parId = (id) => document.getElementById(id);

  Plotly.register({
    moduleType: "locale",
    name: "fr",
    dictionary: {
      Autoscale: "Échelle automatique", "Box Select": "Sélection", "Double-click to zoom back out": "Double-clic pour dézoomer",
      "Download plot as a PNG": "Enregistrer l'image", "Download plot as a png": "Enregistrer l'image", "Pan": "Déplacer",
      "Reset axes": "Vue d'ensemble", "Reset view": "Vue d'ensemble", "Taking snapshot - this may take a few seconds": "Image en cours…",
      "Snapshot succeeded": "Image enregistrée", "Zoom": "Zoom", "Zoom in": "Agrandir", "Zoom out": "Réduire",
      "open:": "ouverture :", "high:": "haut :", "low:": "bas :", "close:": "clôture :",
    },
    format: {
      days: ["dimanche", "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi"],
      shortDays: ["dim.", "lun.", "mar.", "mer.", "jeu.", "ven.", "sam."],
      months: ["janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre"],
      shortMonths: ["janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."],
      date: "%d/%m/%Y", decimal: ",", thousands: "\u202f", year: "%Y", month: "%b %Y", dayMonth: "%-d %b", dayMonthYear: "%-d %b %Y",
    },
  });
  const reglages = {
    locale: "fr", responsive: true, displaylogo: false, scrollZoom: true,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    // plotly.js 4 offre d'office un bouton qui envoie le graphique, données comprises, à cloud.plotly.com.
    showSendToCloud: false, plotlyServerURL: "",
  };
  const fond = { font: { family: "system-ui, sans-serif", size: 12 }, paper_bgcolor: "#fff", plot_bgcolor: "#fff", separators: ",\u202f" };

  function tracer(rang, vue) {
    const serie = series[rang];
    const lignes = vue === "fin" && serie.fin ? serie.fin : serie.resume;
    const traces = [];
    if (lignes && serie.type === "bougies") {
      traces.push({
        type: "candlestick", x: lignes.t, open: lignes.o, high: lignes.h, low: lignes.l, close: lignes.c, name: "prix",
        increasing: { line: { color: "#2b7a4b", width: 1 } }, decreasing: { line: { color: "#c0392b", width: 1 } },
      });
    } else if (lignes) {
      traces.push({ type: "scatter", mode: "lines", x: lignes.t, y: lignes.c, name: "valeur", line: { color: "#1f5f8b", width: 1.3 } });
    }
    if (lignes && lignes.v) {
      traces.push({ type: "bar", x: lignes.t, y: lignes.v, yaxis: "y2", name: "volume", marker: { color: "#7d93a3" } });
    }
    const frise = serie.frise;
    if (frise) {
      const centres = Array.from({ length: carte.cases }, (_, i) => frise.debut + (i + 0.5) * frise.pas);
      for (const [etat, parts] of Object.entries(frise.parts)) {
        traces.push({
          type: "bar", x: centres, y: parts, width: frise.pas, yaxis: "y3", name: sens[etat], marker: { color: couleurs[etat], line: { width: 0 } },
          hovertemplate: "%{y:.1f} %",
        });
      }
    }
    const trous = serie.trous.map(([debut, fin, raison]) => ({
      type: "rect", xref: "x", yref: "paper", x0: debut, x1: fin, y0: 0.2, y1: 1, layer: "below", line: { width: 0 },
      fillcolor: couleurs[raison], opacity: 0.45,
    }));
    const etendue = vue === "fin" && lignes.t.length ? [lignes.t[0], lignes.t[lignes.t.length - 1]] : undefined;
    const fait = Plotly.react("graphique", traces, {
      ...fond, margin: { l: 70, r: 15, t: 30, b: 40 }, title: { text: serie.nom, font: { size: 14 } }, showlegend: false,
      barmode: "stack", bargap: 0, hovermode: "x unified", dragmode: "zoom", shapes: trous,
      xaxis: { type: "date", rangeslider: { visible: false }, anchor: "y3", range: etendue },
      yaxis: { domain: [0.42, 1], title: { text: serie.type === "ligne" ? "valeur" : "prix" } },
      yaxis2: { domain: [0.2, 0.38], title: { text: `volume<br>(${serie.unite})` }, rangemode: "tozero" },
      yaxis3: { domain: [0, 0.14], title: { text: "couverture" }, range: [0, 100], fixedrange: true, ticksuffix: " %", nticks: 3 },
    }, reglages);
    const tus = serie.tus ? `${serie.tus} trous plus courts ne sont pas tracés.` : "";
    parId("dit").textContent = [vue === "fin" && serie.fin ? "Les dernières lignes, telles quelles." : serie.dit && `${serie.dit}.`, tus].filter(Boolean).join(" ");
    parId("vues").hidden = !serie.fin;
    for (const bouton of parId("vues").querySelectorAll("button")) {
      bouton.setAttribute("aria-pressed", String(bouton.dataset.vue === vue));
    }
    return fait;
  }

  function dessinerCarte() {
    const debuts = Array.from({ length: carte.cases }, (_, i) => carte.debut + i * carte.pas);
    parId("carte").style.height = `${Math.min(1000, Math.max(220, 90 + 16 * series.length))}px`;
    // Un téléphone n'a la place ni des noms entiers, ni de l'échelle ; deux séries ne partagent pas leur nom court.
    const etroit = window.innerWidth < 600, courts = series.map((serie) => serie.nom.split(" (")[0]);
    const noms = etroit && new Set(courts).size === courts.length ? courts : series.map((serie) => serie.nom);
    const fait = Plotly.newPlot("carte", [{
      type: "heatmap", showscale: !etroit, x: debuts, y: noms, z: series.map((serie) => serie.cases.map((part) => part === null ? null : part / 10)),
      zmin: 0, zmax: 100, colorscale: [[0, couleurs.echec], [0.99, "#f3d9a4"], [1, couleurs.ecrit]], colorbar: { ticksuffix: " %", thickness: 12 },
      hovertemplate: "%{y}<br>%{x|%-d %b %Y %H:%M}<br>%{z:.1f} %<extra></extra>", hoverongaps: false,
    }], {
      ...fond, margin: { l: 10, r: 10, t: 30, b: 40 }, xaxis: { type: "date" }, yaxis: { automargin: true, autorange: "reversed", type: "category" },
    }, reglages);
    parId("carte").on("plotly_click", ({ points }) => choisir(points[0].pointIndex[0], "resume"));
    return fait;
  }

  function choisir(rang, vue) {
    parId("serie").value = String(rang);
    return tracer(rang, vue);
  }

  if (!series.length) {
    document.body.dataset.etat = "pret";
    return;
  }
  parId("serie").addEventListener("change", (fait) => tracer(Number(fait.target.value), "resume"));
  parId("vues").addEventListener("click", (fait) => fait.target.dataset.vue && tracer(Number(parId("serie").value), fait.target.dataset.vue));
  const faits = [choisir(0, "resume")];
  if (series.length > 1) faits.push(dessinerCarte());
  Promise.all(faits).then(() => { document.body.dataset.etat = "pret"; });
})();
