"""The encoding of a text, found from its first bytes.

UTF-8 and UTF-16 show themselves. GB18030, Big5 and the encodings of their neighbours decode nearly all of each other's
texts, so that "it decodes" proves nothing, and a general detector needs more text than a handful of names
(charset-normalizer chose the right one of GB18030 and Big5 in 3 of 5 files with one name). Two things tell them apart:

- The known name of a column. It does not come about by reading other text in a wrong encoding.
- Familiar characters: those that names are written with. They are three quarters and more of a list of names that is
  read in its own encoding, and a third or less of one that is read in another, where any character may turn up.

Only GB18030 and Big5 are ever taken by themselves. The others are tried to see that none of them fits as well, and to
show a name as each would read it. ``tests/benchmarks/encodings.py`` measures how often that is right.
"""

import codecs
import re
from collections.abc import Sequence
from typing import NamedTuple

from batch_alias.errors import SourceError
from batch_alias.sources.columns import KNOWN_NAMES, PROPOSED_NAMES, fold
from batch_alias.sources.header import SEARCHED_ROWS
from batch_alias.text import N_, _, enumeration, quoted

LEAST_SURPLUS = 4
"""Familiar characters beyond the number of others that a text has at least in the encoding that is taken."""
LEAST_LEAD = 0.2
"""By so much its share of familiar characters exceeds the share in every other encoding."""
SHOWN = 4
"""Readings that an error shows."""

NAME_THE_ENCODING = N_("Save it as CSV UTF-8, or name its encoding with --encoding.")

Encoding = tuple[str, str]
"""Python's name of a codec, and the usual name."""

BYTE_ORDER_MARKS: dict[bytes, Encoding] = {
    codecs.BOM_UTF8: ("utf-8", "UTF-8 with mark"),
    codecs.BOM_UTF32_LE: ("utf-32", "UTF-32 with mark"),  # before the mark of UTF-16, which begins it
    codecs.BOM_UTF16_LE: ("utf-16", "UTF-16 with mark"),
    codecs.BOM_UTF16_BE: ("utf-16", "UTF-16 with mark"),
}
UTF_8: Encoding = ("utf-8", "UTF-8")
TAKEN = ("GB18030", "Big5")

# The characters of names, simplified and traditional.
_CHINESE = (
    # surnames
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆"
    "汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤常温康施文牛樊葛邢安齐易乔伍"
    "庞颜倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单季裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳阳上官司诸"
    "慕容傅洪褚卓管柴蒙鲍华桑滕"
    # given names
    "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂玉萍红玲芬燕辉建国志永海春晓小丹婷雪倩颖慧琳佳欣怡雨涵梓轩浩宇子豪俊"
    "鑫博鹏飞凯旋波斌峰宏亮光荣祥福生庆东南西北思嘉晨旭昊天瑞泽睿诗琪瑶萱妍馨若曦可艺雅彤晴依诺一然逸航远景腾翔毅恒振兴"
    "家健乐悦琴珍珠凤莲菊莉蓉莎萌茜洁淑惠美爱贞贤淳翠云霏露冰月星辰晶莹璐璇瑾瑜珊珂玥琦琛瑛璟钰铭锋钧锐镇炜炎煜烨焕灿熙"
    "焱坤培城墨增壮士大奇奕婉娇婧娅媛嫣孝学守宗定宜宝实宣宸寒富寿山岚岩峻崇川巍州帆帅希年广庭延弘彦彩彬影征德心忠怀恩情"
    "惜意懿才扬承捷政敬斯新日旺昌昕昱昭显晋晟晗普智曼朋朗木本松柏柔栋树格桐桃梦棋森楠楷榕正毓民水汉沁沐河泉泓津洲流济浦"
    "润淇清渊渝湘溪源滨漫潇澄澜烁牧玄玮珏理瑄璋甜男畅登益盈真知硕礼祖祺禄禹秉科秋立竹笑筠紫纯纲绍经绮维绪缘羽翰翼耀聪胜"
    "育致良艾芊芝芮芷芸芹芙苑茂茗茵荷菁菲萧蓓蔓蕊蕾薇虎虹蝶行衡裕言诚语谦贝贵赫越跃达进邦郁采钦铁铃银锦长雄震霄霆霖霜青"
    "靖韬韵顺领颂风香骁骏魁鸣鸿鹤麒麟佩仁信义之世中丰乃久亚亦亨京仪仙仲伊传伦伯作俐修倍倚元兆先克全公兵冠冬利力功加劲勤"
    "化千升卉卫厚双友古名吉同君启吟和哲唯唱善喜圆圣圳均垚堂声复奎好如妙妮姗姣姿娥娴婵嫦媚宛尔展岭巧帝幸幼廷开彪律徽快恺"
    "悠惟慈放攀效敦旎昂映晏朝来杉果柠标棠楚欢歌殿沛沫泰洛浪淼渤湛滢灵炳炫熠爽特玫玟珑琅琬琼甄画皓盼相眉祎禾穗窈竞笛筱简"
    "米精素纤练羚翊翎臣舟舜苇苒茹莞菀葵蓬虞融裳览观训记诏诣谊谨谕豫赛轶逢遥道重钊铮锡锴闯闻阁雁雯霁非靓项顶颐飒骄骞鲜鹃"
    "麦黛默"
    # words of nicknames and departments, and the most frequent characters of all
    "阿哥姐弟妹妈爸爷奶叔姨婆猫狗兔鱼鸟猪花草瓜糖茶酒饭菜吃喝玩睡恨想念哭活夜早晚雾湖火土橙绿黑灰色的了是不在有我你他她"
    "它们这那个二三四五六七八九十百下右前后里外间去走跑看听说写读舞书笔纸车船街村门窗床灯电话机网手头眼耳口脸发衣鞋帽球"
    "牌主女孩儿少坏旧低胖瘦慢短酸苦辣冷热暖空假多半两只条片朵颗粒未过自由无与也都还要会能就没被让给对为从到得着很最太更"
    "又再部财务客服产品技术市场销售运营人事总监助习组师店医购仓库物法设计端测试研工班群员用户业区分副队负责目支持投资问"
    "编时地出以而么起当把第样种己面但现些所动期回位老因什次使身者已亲其此感见点几做将气每并别打比便夫像等体却界受表代死"
    "性或住难望教命结拉神处母父应直字报至认接告入内候岁往度觉带边解叫原变通象数失满战音轻病始深完今提求切怎找离干约各即"
    "指合反题必该论交终请制决保及则房院量布近坐答视连巴类且婚台乎落尽形令吧识步留送造谈极随演收首根整式取照办拿您装似足"
    "妻尼转诉称节站刻统断故历惊选紧争另绝系伤示愿谁准联妇基买独痛消社算竟确需治"
    # traditional forms
    "張劉陳楊黃趙吳孫馬羅鄭謝許韓馮鄧蕭葉蘇呂盧鐘鍾譚陸賈韋鄒閻龍賀顧龔萬錢嚴湯龐顏莊聶魯關蘭畢單塗駱藍蔣餘簡賴偉靜麗強"
    "軍豔艷傑濤剛紅輝華國曉潔穎雲鳳蓮愛賢瑩瓊瑋鈺銘鋒鈞銳鎮煒燁煥燦壯嬌婭學寧實寶寵壽嵐巖峯帥廣彥懷戰揚顯晉夢棟樹榮豐澤"
    "濟潤淵濱瀟瀾爍畫暢禮祿筆純綱紹經綺維緒緣聰聖聲勝臻興舉藝蘋號詠詩誠語誼謙謹貝貴贊躍轉運達遠邁鄉鈴銀鋼錦錫鍵開闊陽隆"
    "雙電霧靈韜韻順領頌願風飛駿騰驊鳴鴻鵬鶴妤芯宥珮儒勳嬤妘宬昀瑀霈儀瓈嫻婕嬋慶憲應懋權歡歐漢煌琇璿碧祐禎筑綉絲縈聿芃苡"
    "莛蓁薰蘊諭諺軒進釗馥恆啟業務總財會計戶產發測試員組長師樂貓魚鳥豬雞鴨兒媽爺個們這來過還無與對為從給讓沒後裡時間東車"
    "門話機網頭臉書紙聽讀說寫買賣熱涼溫綠誰麼點當難見親請認識現場營銷區幫辦專隊訓護醫館廳園處級負責項資訊問設備倉庫"
)
_JAPANESE = (
    "佐藤鈴木高橋田中伊渡辺邊山本村小林加吉井松清崎森池阿部石前原岡長谷川近遠青坂福西太三上斎斉竹内野金子和島後河今酒工"
    "横宮丸武安宇平大増杉久保菅新古関水南北東沢澤浜濱千葉岩黒荒尾柴桜樋口星市片服郎一二美恵由奈香里真理沙織裕直樹健翔輔"
    "陽介拓也雄幸夫明実学修浩洋治聡結衣葵凛蓮悠斗颯舞花桃優愛菜莉彩乃智博哲英正義勝利信秀昭光弘隆誠豊進茂稔亮雅俊晃貴紀"
    "文典孝徳史朗士司仁志之助人生代江枝穂歩希望咲心音絵佳七海空陸蒼湊翼涼遥瞳麻亜紗津々塚倉堀永成瀬戸土屋笠神馬場矢根飯"
    "住所越栗熊立向広浅深下重若菊奥梅柳順圭佑隼剣敬純玉母弥染境磯観廉尚元秋励礼細静果端暖響翠凪碧旭朝律壮瑛琉維惟唯紬凜"
    "杏栞梨楓椿芽茜萌蘭琴詩歌奏哉耶忠康寛充満冬春晴雨雪霞雲月照輝昇晶章彰功巧匠伝規綱繁盛栄興起建達勉努力強剛毅猛勇敏速"
    "早滝浪波港洲岬岳峰嶺畑園庭梶楠榎桂桑柿椎榊槙蔵庄宿城堂寺社仏聖溝沼泉湖沖植相曽宗荘須賀能登京都町郷五六八九十百万左"
    "右外丹羽鳥鶴亀鷹鹿猪牛羊竜龍虎寿喜悦楽笑泰穏塩桐萩蒲堤砂赤黄紫緑辻梓舘稲芳藍絢瑞恭節亨周悟透潤淳厚滋温良善衛兵門丈"
    "彬彪慎慶郁馨薫操貞峯瀧嶋冨廣國澄壱弐帆杜柊槻橘笹篠芝苗荻葛蕗藪諏訪迫邑釜鍋鎌霧"
)
_KOREAN = (
    "김이박최정강조윤장임한오서신권황안송류유홍전고문양손배백허남심노하곽성차주우구나민진지엄채원천방공현함변염여추도소"
    "석선설마길연위표명기반라왕금옥육인맹제모탁국준예은호수영혜경미숙희순자빈율건후재동승상철훈용규태환형섭근식봉병종광"
    "일중대창찬범란아리림솔별슬가람보다온세해월춘복말례분점필덕갑을각간갈감거걸검결겸계교골관군귀균극난내녀년누눈니단담"
    "당돈두둥락랑래량려련령로록론룡루륜률름립망매면목몽묘무발벽본봄북빛사산삼새생섬술숭습시실쌍악암애야어억언역열외요욱"
    "운웅으의익잎잔적절족좌죽증직질척첨청체초촌총축출충취측치친칠탄택토통판팔평포풍학향헌혁협화확활회획효훤휘휴흠흥"
)

# The letters beyond ASCII in a word that has ASCII letters too; no capital after a small letter.
_LOWER = "".join(filter(str.islower, map(chr, range(0xC0, 0x250))))
_LATIN = (
    rf"(?<=[A-Za-z])[{_LOWER}]+[\u0300-\u0323]?|(?<=[A-Za-z])[\u0300-\u0323]|(?<=[A-Z])[À-ÖØ-Þ]"
    rf"|\b[À-ÖØ-ɏ][{_LOWER}]*(?=[A-Za-z])"
)
# Words of these letters only. Thai without its rare letters and with each mark at its place: else all would be Thai.
_WORD = r"(?<![A-Za-z\x80-\U0010ffff])(?:{})(?![A-Za-z\x80-\U0010ffff])"
_CYRILLIC = _WORD.format("[А-ЯЁа-яё][а-яё]+|[А-ЯЁ]{2,}")
_THAI = _WORD.format("(?:[เ-ไ]?[กขคงจ-ชญฐณดตถทธนบปผพภมยรลวศ-หอ][ัิ-ู็]?[่-์]?[ะาำ]?){2,}")

# An encoding, and what is familiar in it.
_CANDIDATES = (
    ("gb18030", "GB18030", f"[{_CHINESE}]+"),
    ("cp950", "Big5", f"[{_CHINESE}]+"),
    ("big5hkscs", "Big5", f"[{_CHINESE}]+"),  # if it is not Microsoft's
    ("euc-jp", "EUC-JP", f"[ぁ-ヿ{_JAPANESE}]+"),
    ("cp932", "Shift_JIS", f"[ぁ-ヿ{_JAPANESE}]+"),
    ("cp949", "CP949", f"[{_KOREAN}]+"),
    ("cp1252", "Windows-1252", _LATIN),
    ("cp1250", "Windows-1250", _LATIN),
    ("iso8859-2", "ISO-8859-2", _LATIN),
    ("cp1258", "Windows-1258", _LATIN),
    ("cp1251", "Windows-1251", _CYRILLIC),
    ("koi8-r", "KOI8-R", _CYRILLIC),
    ("cp874", "Windows-874", _THAI),
)
# What counts: all but ASCII, punctuation, symbols, full-width forms and emoji, which occur in every language.
_COUNTED = r"[^\x00-\x7f·\u2000-\u2bff\u3000-\u303f\uff00-\uff65\U00010000-\U0010ffff]"
_CELL_END = r'[,;\t\r\n"]'  # in no encoding a part of a character, so that all have the same cells
_NAMES_OF_COLUMNS = frozenset().union(*KNOWN_NAMES.values(), *PROPOSED_NAMES.values())


class _Reading(NamedTuple):
    """A text as one encoding reads it."""

    codec: str
    name: str
    text: str
    familiar: int  # characters
    counted: int

    @property
    def share(self) -> float:
        return self.familiar / max(self.counted, 1)

    @property
    def surplus(self) -> int:
        return 2 * self.familiar - self.counted


def find_encoding(sample: bytes, wanted: str | None, *, file: str) -> Encoding:
    """Find the encoding of a text.

    Args:
        sample: Its first bytes; may end within a character.
        wanted: The encoding that the user named; only a byte order mark may refine it.

    Raises:
        SourceError: It is not text, or its encoding is not certain.
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if sample.startswith(mark) and (wanted is None or _family(wanted) == _family(encoding[0])):
            return encoding
    if wanted is not None:
        if codecs.lookup(wanted).name in {"utf-16", "utf-32"}:
            problem = N_("{file} does not begin with the byte order mark of {encoding}.")
            advice = N_("Name the byte order too: {encoding}-LE or {encoding}-BE.")
            raise SourceError(problem, advice, file=file, encoding=wanted.upper())
        return wanted, wanted.upper()
    if sample.count(0) * 10 > len(sample):  # a few NULs are a problem of their rows; this many are UTF-16 or no text
        return _utf_16(sample, file)
    if _decoded(sample, "utf-8") is not None:
        return UTF_8
    readings = sorted(_readings(sample), key=lambda reading: -reading.share)
    proven = [reading for reading in readings if reading.name in TAKEN and _names_a_column(reading.text)]
    if len(proven) == 1:
        return proven[0].codec, proven[0].name
    best, second = readings[:2]
    if best.name in TAKEN and best.surplus >= LEAST_SURPLUS and best.share - second.share >= LEAST_LEAD:
        return best.codec, best.name
    plausible = [reading for reading in readings if reading.surplus > 0 or reading.name in TAKEN]
    if not plausible or _is_damaged_utf_8(sample):
        return UTF_8  # it is not, but no other either: reading it names the first byte that is wrong
    raise _not_certain(plausible, file)


def _family(codec: str) -> list[str]:
    return codecs.lookup(codec).name.split("-")[:2]


def _decoded(sample: bytes, codec: str) -> str | None:
    try:
        return codecs.getincrementaldecoder(codec)().decode(sample)
    except UnicodeDecodeError:
        return None


def _is_damaged_utf_8(sample: bytes) -> bool:
    """Whether most of it is UTF-8."""
    characters = re.findall(r"[^\x00-\x7f]", sample.decode("utf-8", errors="replace"))
    return 2 * characters.count("\ufffd") < len(characters)


def _utf_16(sample: bytes, file: str) -> Encoding:
    """Text with many ASCII characters has its NULs at the even or at the odd positions."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > 10 * even and _decoded(sample, "utf-16-le") is not None:
        return "utf-16-le", "UTF-16 LE"
    if even > 10 * odd and _decoded(sample, "utf-16-be") is not None:
        return "utf-16-be", "UTF-16 BE"
    raise SourceError("{file} is not text.", "Name a file of rows: CSV or Excel.", file=file)


def _readings(sample: bytes) -> list[_Reading]:
    """The text in each encoding in which it decodes; ISO-8859-2 and KOI8-R are always among them."""
    readings: dict[str, _Reading] = {}
    for codec, name, familiar in _CANDIDATES:
        text = _decoded(sample, codec) or ""
        if name not in readings and not text.isascii():  # it is where its only other character is cut off
            number = sum(map(len, re.findall(familiar, text)))
            readings[name] = _Reading(codec, name, text, number, len(re.findall(_COUNTED, text)))
    return list(readings.values())


def _names_a_column(text: str) -> bool:
    rows = text.split("\n", SEARCHED_ROWS)[:SEARCHED_ROWS]
    cells = (cell for row in rows for cell in re.split(r'[,;\t|"]', row))
    return any(len(cell) > 1 and not cell.isascii() and fold(cell) in _NAMES_OF_COLUMNS for cell in cells)


def _not_certain(readings: Sequence[_Reading], file: str) -> SourceError:
    """The error that shows the first name that differs the most from encoding to encoding."""
    cells = zip(*(re.split(_CELL_END, reading.text) for reading in readings), strict=False)
    names = max((cell for cell in cells if not cell[0].isascii()), key=lambda cell: len(set(cell)))
    shown: dict[str, str] = {}
    for name, reading in zip(names, readings, strict=True):
        shown.setdefault(quoted(name.strip()), reading.name)
    advice = N_("Name it with --encoding, such as --encoding {codec}; or save it as CSV UTF-8.")
    return SourceError(
        "The encoding of {file} is not certain: {readings}.",
        advice if readings[0].surplus > 0 else NAME_THE_ENCODING,
        file=file,
        readings=enumeration(_("{name} in {encoding}", name=name, encoding=shown[name]) for name in [*shown][:SHOWN]),
        codec=readings[0].codec,
    )
