"""The words of each language's file: forms that its speakers use are found, and what only looks like them is left alone."""

import unicodedata

import pytest

from isheep_lib.languages import rules
from isheep_lib.synthesize.evolving.eliminator import answer_problem

# A language, what its expressions find, texts in which they find it, and texts in which they must not.
WORDS = [
    (
        "en",
        "of_itself",
        ["As an AI, I answer in words."],
        ["The map was an aid.", "She worked as an aide.", "Serve it as an aioli."],
    ),
    (
        "zh",
        "refusal",
        [
            "抱歉，这个我帮不上忙。",
            "我目前无法访问互联网。",
            "恕我无法回答。",
            "实在对不起，我不清楚。",
            "作为一个 AI 语言模型，我没有感情。",
            "作为AI助手，我不能提供这些内容。",
            "作為一個人工智慧助理，我沒有意見。",
            "我沒有辦法幫您。",
        ],
        ["作为人工智能的一个分支，机器学习发展很快。", "作为一名AI工程师，他每天写代码。", "无法回头的是时间。", "我难以忘记那个夏天。"],
    ),
    ("zh", "of_itself", ["作为人工智能，我没有身体。"], ["作为AI系统的开发者，请写一份计划。", "作为人工智能领域的专家，请作答。"]),
    ("zh", "choices", ["选项：甲、乙、丙", "**选项：**", "下面有四个。\n選項：", "备选答案："], ["您可以考虑以下选项：", "还有两个选项：坐车或步行。"]),
    (
        "zh",
        "follow_up",
        ["写完了。\n\n问题二：什么是潮汐", "好的。\n\n第3题：再来一道", "好。\n\n提問：為什麼"],
        ["他问了两个问题。", "一共三道题。\n\n第一道最难。"],
    ),
    (
        "zh",
        "no_input",
        ["无额外输入", "（无需提供输入）", "不需要", "没有任何输入。", "無需額外輸入", "空白"],
        ["无名的小镇", "没有桥的河", "空山新雨后"],
    ),
    ("zh", "forbidden_word", ["請播放這段視頻", "画图说明", "用柱状图表示人口", "打開以下連結"], ["推荐几家漫画图书馆", "她的画很好"]),
    ("zh", "other_language", ["把這句話譯成英語", "用法語打招呼"], ["把这句话改短"]),
    ("zh", "placeholder", ["[填寫公司名稱]", "【此处填写日期】", "[名稱]"], ["[输入层, 隐藏层]", "数组[1]"]),
    (
        "es",
        "refusal",
        [
            "Siento no poder ayudarte.",
            "Lamento informarte de que no es posible.",
            "Por desgracia, no lo sé.",
            "Discúlpame, no lo encuentro.",
            "No estoy capacitado para eso.",
            "Como modelo de inteligencia artificial, no tengo gustos.",
        ],
        ["Siento frío en las manos.", "Lamentos del mar.", "Perdonar es difícil.", "Disculparse ayuda a la amistad."],
    ),
    ("es", "no_input", ["No aplica", "Vacía", "Sin datos de entrada", "no es necesaria"], ["Nada que ver", "No aplica el freno"]),
    ("es", "choices", ["Opciones:\nA", "Elige.\nOpciones: a, b", "Opciones de respuesta:"], ["Tienes varias opciones: ir o quedarte."]),
    ("es", "forbidden_word", ["Haz una captura de pantalla", "Visita el sitio"], ["Resume desde entre la página 3 y la 5"]),
    ("es", "placeholder", ["[Nombre completo]", "[escribe aquí tu texto]"], ["[véase arriba]"]),
    ("es", "other_language", ["una canción francesa", "en polaco"], ["la porcelana de China"]),
    (
        "fr",
        "refusal",
        [
            "Je suis navré, ce n'est pas possible.",
            "Veuillez m'excuser, mais non.",
            "Toutes mes excuses, je l'ignore.",
            "Je ne saurais répondre.",
            "Il m’est impossible de le dire.",
            "En tant que modèle de langage, je n'ai pas d'avis.",
            "En tant qu'assistant virtuel, je ne sors pas.",
        ],
        ["En tant qu'assistante de direction, j'organise vos réunions.", "En tant que modèle de vertu, il aide.", "Pardonner libère."],
    ),
    ("fr", "of_itself", ["En tant qu’IA, je lis."], ["En tant qu'assistant commercial, écris une lettre."]),
    ("fr", "no_input", ["Rien", "Non applicable", "Aucune donnée d’entrée", "Aucune entrée nécessaire"], ["Rien ne va plus"]),
    ("fr", "forbidden_word", ["Fais une capture d’écran"], ["Décris la capture du fort"]),
    (
        "de",
        "refusal",
        [
            "Das kann ich leider nicht beantworten.",
            "Dabei kann ich dir nicht helfen.",
            "Bedauerlicherweise fehlt mir der Zugang.",
            "Das tut mir leid, ich weiß es nicht.",
            "Ich bitte um Entschuldigung.",
            "Als KI-Sprachmodell habe ich keine Meinung.",
        ],
        ["Als KI bezeichnet man lernende Programme.", "Das kann ich gut verstehen.", "Verzeihen braucht Zeit."],
    ),
    ("de", "of_itself", ["Als KI kann ich nicht sehen."], ["Erkläre, was man als KI bezeichnet.", "Damals kippte die Stimmung."]),
    ("de", "no_input", ["Nichts", "Kein Input nötig", "Nicht vorhanden", "Keine weiteren Angaben"], ["Nichts ist umsonst", "Keine Sorge"]),
    (
        "de",
        "forbidden_word",
        ["Zeichnet einen Baum.", "Zeichne ein Haus aus Holz.", "Gehen Sie auf die Webseite der Stadt.", "Mach einen Screenshot davon."],
        ["Was zeichnet einen guten Lehrer aus?", "Gehe auf die Gründe ein.", "Bilde drei Sätze mit diesem Wort."],
    ),
    (
        "ja",
        "refusal",
        [
            "申し訳なく思いますが、対応していません。",
            "すいません、分かりません。",
            "私にはその情報を確認できません。",
            "ご要望には応じかねます。",
            "AI言語モデルとして、意見はありません。",
            "残念ですが、それは分かりません。",
        ],
        ["ご質問にお答えすると、理由は三つあります。", "私は海が好きです。", "AIの歴史は長い。", "ごめん寝てたと彼は言った。"],
    ),
    ("ja", "of_itself", ["AIの言語モデルとして答える"], ["AIの未来を予想する"]),
    ("ja", "no_input", ["ありません", "入力は必要ありません。", "特にありません", "該当しません", "不要"], ["空が青い", "無人島の朝"]),
    (
        "ja",
        "forbidden_word",
        ["棒グラフを作る", "円グラフにまとめて", "ファイルを開く", "絵をかいて"],
        ["次のパラグラフを要約して", "グラフィックデザイナーの仕事を説明して", "性能プロファイルの読み方を説明して", "意図を示して"],
    ),
    (
        "ko",
        "refusal",
        [
            "죄송하게도 그 정보는 없습니다.",
            "미안한데 잘 모르겠어요.",
            "이 질문에 대해서는 답변할 수 없습니다.",
            "저는 인터넷에 접속할 수 없습니다.",
            "AI 언어 모델로서 의견이 없습니다.",
            "양해 부탁드립니다.",
        ],
        ["이 질문에 답변하기 위해 먼저 표를 봅시다.", "펭귄은 비행할 수 없습니다.", "저는 바다를 좋아합니다.", "답변할 수 있습니다."],
    ),
    ("ko", "no_input", ["필요 없음", "입력이 필요하지 않습니다.", "해당 사항 없음", "불필요", "빈칸"], ["없음의 미학", "공백을 채우세요"]),
    ("ko", "choices", ["보기: 가, 나", "고르세요.\n보기: 1", "선택지:"], ["문제 살펴보기:", "한 가지 예를 미리보기: 이렇게"]),
    (
        "ko",
        "forbidden_word",
        ["지도를 보여 주세요", "파일을 여세요", "웹사이트를 열어 주세요", "영상을 만들어 줘", "꽃을 그리세요"],
        ["학생을 지도하는 방법", "지도한 경험", "파일럿이 되는 법", "영상 10도의 날씨", "그리고 설명하세요", "그리스의 역사"],
    ),
    ("ko", "other_language", ["영어로 옮기세요", "불어로 써 보세요"], ["어제 일어난 일을 쓰세요", "바람이 불어오는 곳", "불어난 강물"]),
    (
        "ar",
        "refusal",
        [
            "المعذرة، لا أعرف ذلك.",
            "لسوء الحظ، ليست لدي معلومات.",
            "أنا غير قادر على ذلك.",
            "لن أتمكن من مساعدتك.",
            "بصفتي نموذجًا لغويًا، ليست لي آراء.",
            "كنموذج لغوي، لا أرى الصور.",
        ],
        ["بصفتي مساعدًا إداريًا، أنظم المواعيد.", "البحر واسع.", "لا شك في ذلك."],
    ),
    ("ar", "of_itself", ["بصفتي مساعدًا افتراضيًا"], ["بصفتي مساعدة مدير، اكتب رسالة"]),
    ("ar", "no_input", ["لا توجد", "لا يوجد أي مدخلات", "غير متوفر", "فارغة"], ["لا يوجد حل سهل", "غير مطلوبين"]),
    ("ar", "choices", ["الخيارات:\nأ", "اختر.\nالخيارات: أ", "خيارات الإجابة:"], ["أمامك عدة خيارات: السفر أو البقاء"]),
    ("ar", "role", ["المستخدم: مرحبا"], ["المخرج: يوسف شاهين"]),
    ("ar", "forbidden_word", ["التقط لقطة شاشة", "افتح الرابط", "ارسم خارطة الحي"], ["اشرح معنى الكلمة"]),
    (
        "ru",
        "refusal",
        [
            "Увы, этого я не знаю.",
            "Прошу меня извинить, это невозможно.",
            "Не могу помочь с этим.",
            "Сожалею, но ответа нет.",
            "Я, к сожалению, не могу ответить.",
            "Как языковая модель, я не имею мнения.",
            "Я — языковая модель и не вижу картинок.",
        ],
        ["Как ИИ меняет медицину? Он читает снимки.", "Как искусственный интеллект учится, видно на примере.", "Жалюзи закрыты."],
    ),
    (
        "ru",
        "of_itself",
        ["Как ИИ, я не сплю."],
        ["Объясни, как ИИ меняет медицину.", "Расскажи, как языковая модель выбирает слово."],
    ),
    ("ru", "no_input", ["Не требуется", "Входные данные отсутствуют", "Ничего", "Ввод отсутствует", "Неприменимо"], ["Нет худа без добра"]),
    (
        "ru",
        "choices",
        ["Варианты ответа: а, б", "Варианты ответов:", "Выбери.\nВарианты: а"],
        ["Возможные варианты: поезд или автобус.", "Есть варианты: да и нет."],
    ),
    ("ru", "follow_up", ["Готово.\n\nВопрос № 2: что такое прилив"], ["Это другой вопрос."]),
    ("ru", "forbidden_word", ["Включи музыку", "Сделай снимок экрана", "Перейди по ссылке"], ["Расскажи о музыкантах оркестра"]),
    (
        "hi",
        "refusal",
        [
            "मुझे माफ़ करें, यह संभव नहीं।",
            "मैं आपसे क्षमा चाहता हूँ।",
            "मैं यह नहीं लिख सकता।",
            "एक AI भाषा मॉडल के रूप में मेरी कोई राय नहीं है।",
            "एआई होने के नाते मैं देख नहीं सकता।",
        ],
        ["एक AI चैटबॉट बनाने के लिए पहले डेटा चाहिए।", "एक सहायक के रूप में उसने काम किया।", "मैं समुद्र देखता हूँ।"],
    ),
    ("hi", "no_input", ["कुछ नहीं", "उपलब्ध नहीं", "रिक्त", "ख़ाली", "इनपुट की ज़रूरत नहीं है"], ["कुछ नहीं बदला है"]),
    ("hi", "choices", ["विकल्प:\nक", "चुनिए।\nविकल्प: क", "उत्तर के विकल्प:"], ["आपके पास दो विकल्प: रेल या बस"]),
    ("hi", "forbidden_word", ["एक इमेज बनाओ", "स्क्रीनशॉट लो", "फ़ोटो खींचो", "फोटो दिखाओ", "वेबसाइट पर जाइए"], ["शब्द का अर्थ बताओ"]),
]
CASES = [
    (language, what, text, wanted)
    for language, what, found, left in WORDS
    for wanted, texts in ((True, found), (False, left))
    for text in texts
]


@pytest.mark.parametrize(("language", "what", "text", "wanted"), CASES, ids=[f"{tag}-{what}-{text}" for tag, what, text, _ in CASES])
def test_a_form_of_the_language_is_found_and_what_looks_like_it_is_not(language, what, text, wanted):
    assert rules.of(language).finds(what, text) == wanted


@pytest.mark.parametrize(
    ("language", "what", "text"),
    [
        ("fr", "refusal", "Je suis désolé."),
        ("fr", "forbidden_word", "Regarde la vidéo."),
        ("es", "no_input", "vacío"),
        ("de", "other_language", "Übersetze das."),
        ("ja", "roles", "ユーザー：ガイド"),
        ("ko", "refusal", "죄송합니다"),
        ("hi", "forbidden_word", "फ\u093cोटो"),
    ],
)
def test_a_letter_and_its_mark_are_found_as_one_sign_and_as_two(language, what, text):
    name = {"roles": "role"}.get(what, what)
    for form in ("NFC", "NFD"):
        assert rules.of(language).finds(name, unicodedata.normalize(form, text)), form


def test_the_dotted_letters_of_hindi_are_found_however_they_were_typed():
    for letter in ("\u095e", "\u092b\u093c", "\u092b"):  # one sign, two, and without the dot
        assert rules.of("hi").finds("forbidden_word", f"{letter}ोटो खींचो")


@pytest.mark.parametrize("tag", rules.known())
def test_the_words_of_a_file_are_composed_as_texts_are_before_they_are_searched(tag):
    said = (rules.FOLDER / f"{tag}.yaml").read_text(encoding="utf-8")
    assert unicodedata.is_normalized("NFC", said)


@pytest.mark.parametrize(
    ("language", "answer", "reason"),
    [
        ("ru", "К сожалению, я этого не знаю.", "apology"),
        ("ru", "К сожалению, поезд опоздал, и мы ждали на вокзале.", ""),
        ("zh", "她不好意思地笑了，把书还给他。", ""),
        ("fr", "Il cherche des excuses pour ne pas venir.", ""),
        ("de", "Verzeihung, das weiß ich nicht.", "apology"),
    ],
)
def test_a_short_apology_is_told_from_a_story_about_one(language, answer, reason):
    assert answer_problem(answer, language) == ((reason, "") if reason else None)
