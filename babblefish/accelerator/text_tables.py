"""What ``text.py`` needs to know of each language: abbreviations, signs and units in words, how a
time of day is said. Data only; languages by ISO 639-1."""

from __future__ import annotations

DECIMAL_COMMA = frozenset({
    "de", "fr", "es", "it", "fi", "lv", "ru", "pl", "pt", "nl", "cs", "sv", "da", "no", "tr", "uk",
    "ro", "hu", "el", "bg",
})  # fmt: skip
"""where 1.500 is one thousand five hundred"""

ABBREVIATIONS: dict[str, dict[str, str]] = {
    "en": {
        "Mr.": "Mister", "Mrs.": "Missis", "Ms.": "Miss", "Dr.": "Doctor", "Prof.": "Professor",
        "e.g.": "for example", "i.e.": "that is", "etc.": "and so on", "vs.": "versus",
        "approx.": "approximately", "No.": "number", "St.": "Saint", "a.m.": "A M", "p.m.": "P M",
        "w/": "with", "Jr.": "Junior",
    },
    "fr": {
        "M.": "Monsieur", "Mme": "Madame", "Mlle": "Mademoiselle", "MM.": "Messieurs",
        "Dr": "Docteur", "Pr": "Professeur", "p. ex.": "par exemple", "etc.": "et cetera",
        "c.-à-d.": "c'est-à-dire", "env.": "environ", "n°": "numéro", "av.": "avenue",
    },
    "de": {
        "z. B.": "zum Beispiel", "z.B.": "zum Beispiel", "d. h.": "das heißt",
        "d.h.": "das heißt", "usw.": "und so weiter", "bzw.": "beziehungsweise", "ca.": "circa",
        "Dr.": "Doktor", "Prof.": "Professor", "Nr.": "Nummer", "u. a.": "unter anderem",
        "u.a.": "unter anderem", "evtl.": "eventuell", "ggf.": "gegebenenfalls",
        "inkl.": "inklusive", "Std.": "Stunden", "Min.": "Minuten", "Str.": "Straße",
    },
    "es": {
        "Sr.": "señor", "Sra.": "señora", "Srta.": "señorita", "Dr.": "doctor", "Dra.": "doctora",
        "p. ej.": "por ejemplo", "etc.": "etcétera", "Ud.": "usted", "Uds.": "ustedes",
        "aprox.": "aproximadamente", "n.º": "número",
    },
    "it": {
        "Sig.": "signor", "Sig.ra": "signora", "Dott.": "dottor", "Dott.ssa": "dottoressa",
        "ecc.": "eccetera", "p. es.": "per esempio", "p.es.": "per esempio",
        "ca.": "circa", "n.": "numero",
    },
    "ru": {
        "т. е.": "то есть", "т.е.": "то есть", "и т. д.": "и так далее", "и т.д.": "и так далее",
        "т. к.": "так как", "т.к.": "так как", "и т. п.": "и тому подобное", "др.": "другие",
        "г.": "года", "руб.": "рублей", "млн": "миллионов", "млрд": "миллиардов",
        "тыс.": "тысяч",
    },
    "fi": {
        "esim.": "esimerkiksi", "jne.": "ja niin edelleen", "mm.": "muun muassa",
        "ts.": "toisin sanoen", "n.": "noin", "klo": "kello", "tri": "tohtori",
    },
    "lv": {"utt.": "un tā tālāk", "piem.": "piemēram", "t. i.": "tas ir", "apm.": "apmēram"},
}  # fmt: skip

SIGNS: dict[str, dict[str, str]] = {
    "en": {"%": "percent", "&": "and", "+": "plus", "=": "equals", "@": "at", "€": "euros",
           "$": "dollars", "£": "pounds", "¥": "yen", "°C": "degrees", "°": "degrees",
           "–": "to", "§": "section", "km/h": "kilometres per hour", "km": "kilometres",
           "kg": "kilograms", "cm": "centimetres", "mm": "millimetres"},
    "fr": {"%": "pour cent", "&": "et", "+": "plus", "=": "égale", "@": "arobase",
           "€": "euros", "$": "dollars", "£": "livres", "¥": "yens", "°C": "degrés",
           "°": "degrés", "–": "à", "§": "paragraphe", "km/h": "kilomètres à l'heure",
           "km": "kilomètres", "kg": "kilos", "cm": "centimètres", "mm": "millimètres"},
    "de": {"%": "Prozent", "&": "und", "+": "plus", "=": "gleich", "@": "at", "€": "Euro",
           "$": "Dollar", "£": "Pfund", "¥": "Yen", "°C": "Grad", "°": "Grad", "–": "bis",
           "§": "Paragraf", "km/h": "Kilometer pro Stunde", "km": "Kilometer",
           "kg": "Kilogramm", "cm": "Zentimeter", "mm": "Millimeter"},
    "es": {"%": "por ciento", "&": "y", "+": "más", "=": "igual a", "@": "arroba",
           "€": "euros", "$": "dólares", "£": "libras", "¥": "yenes", "°C": "grados",
           "°": "grados", "–": "a", "§": "párrafo", "km/h": "kilómetros por hora",
           "km": "kilómetros", "kg": "kilos", "cm": "centímetros", "mm": "milímetros"},
    "it": {"%": "per cento", "&": "e", "+": "più", "=": "uguale a", "@": "chiocciola",
           "€": "euro", "$": "dollari", "£": "sterline", "¥": "yen", "°C": "gradi",
           "°": "gradi", "–": "a", "§": "paragrafo", "km/h": "chilometri all'ora",
           "km": "chilometri", "kg": "chili", "cm": "centimetri", "mm": "millimetri"},
    "ru": {"%": "процентов", "&": "и", "+": "плюс", "=": "равно", "@": "собака",
           "€": "евро", "$": "долларов", "£": "фунтов", "¥": "иен", "°C": "градусов",
           "°": "градусов", "–": "до", "§": "параграф", "км/ч": "километров в час",
           "км": "километров", "кг": "килограммов"},
    "fi": {"%": "prosenttia", "&": "ja", "+": "plus", "=": "on", "@": "ät", "€": "euroa",
           "$": "dollaria", "£": "puntaa", "¥": "jeniä", "°C": "astetta", "°": "astetta",
           "–": "viiva", "§": "pykälä", "km/h": "kilometriä tunnissa", "km": "kilometriä",
           "kg": "kiloa"},
    "lv": {"%": "procenti", "&": "un", "+": "plus", "=": "ir", "@": "et", "€": "eiro",
           "$": "dolāri", "°C": "grādi", "°": "grādi", "–": "līdz", "km": "kilometri",
           "kg": "kilogrami"},
    "zh": {"%": "百分之", "&": "和", "+": "加", "=": "等于", "€": "欧元", "$": "美元",
           "£": "英镑", "¥": "元", "°C": "度", "°": "度", "–": "到", "km": "公里",
           "kg": "公斤"},
    "ja": {"%": "パーセント", "&": "と", "+": "プラス", "=": "イコール", "€": "ユーロ",
           "$": "ドル", "£": "ポンド", "¥": "円", "°C": "度", "°": "度", "–": "から",
           "km": "キロ", "kg": "キロ"},
    "ar": {"%": "بالمئة", "&": "و", "+": "زائد", "=": "يساوي", "€": "يورو", "$": "دولار",
           "°C": "درجة", "°": "درجة", "–": "إلى", "km": "كيلومتر", "kg": "كيلوغرام"},
    "hi": {"%": "प्रतिशत", "&": "और", "+": "जमा", "=": "बराबर", "€": "यूरो", "$": "डॉलर",
           "₹": "रुपये", "°C": "डिग्री", "°": "डिग्री", "–": "से", "km": "किलोमीटर",
           "kg": "किलो"},
}  # fmt: skip

TIMES: dict[str, tuple[str, str]] = {
    "en": ("{h} {m}", "{h} o'clock"), "fr": ("{h} heures {m}", "{h} heures"),
    "de": ("{h} Uhr {m}", "{h} Uhr"), "es": ("{h} y {m}", "{h} en punto"),
    "it": ("{h} e {m}", "{h}"), "zh": ("{h}点{m}分", "{h}点"), "ja": ("{h}時{m}分", "{h}時"),
    "ru": ("{h} {m}", "{h} часов"),
}  # fmt: skip
"""(with minutes, on the hour)"""
