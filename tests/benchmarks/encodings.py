"""How often an encoding is found, refused, or taken for another one: ``python -m tests.benchmarks.encodings``.

Makes files of 3, 10 and 30 names in each encoding and prints, for each kind, how many were read right, refused, and
read wrong: taken for another encoding, in which some name is another one. Every name has a character beyond ASCII.

The names are those of ``faker`` (``pip install '.[bench]'``) and nicknames as people give them to themselves. The
constants of ``batch_alias.sources.encodings`` were chosen with one half of them, ``--tuning``; the other one measures.
"""

import argparse
import random
import unicodedata
import zlib
from collections import Counter

from faker import Faker

from batch_alias.errors import SourceError
from batch_alias.sources.encodings import find_encoding

SIZES = (3, 10, 30)
ENGLISH, SIMPLIFIED, TRADITIONAL = "userId,groupId,remark", "用户ID,群组ID,群昵称", "用戶ID,群組ID,群暱稱"
NICKNAMES = {
    "nicknames, simplified": """
小明 老王 财务-李思远 产品部张三 爱吃鱼的猫 阿强 小美 大刘 王姐 李哥 张老师 陈医生 客服01 前台小周 行政-王芳
技术部_赵敏 运营小助手 人间清醒 岁月静好 一叶知秋 静水流深 平安是福 知足常乐 花开富贵 上善若水 厚德载物 天道酬勤
宁静致远 云淡风轻 海阔天空 随遇而安 顺其自然 难得糊涂 梦里花落知多少 夏天的风 冬日暖阳 春暖花开 秋水伊人 听雨 半夏
浅笑 墨染 流年 忘忧草 向日葵 蒲公英 薰衣草 仙人掌 小橘子 西红柿炒鸡蛋 奶茶不加糖 加班到天亮 不想上班 今天也要加油
早睡早起身体好 吃饱了才有力气减肥 胖虎 皮卡丘 大白兔 小熊饼干 柠檬精 咸鱼 打工人 搬砖的小李 摸鱼达人 养乐多 可乐加冰
草莓味的夏天 月半小夜曲 追风少年 一只小蜗牛 会飞的猪 迷路的小鹿 爱笑的眼睛 戴眼镜的猫头鹰 笨笨 豆豆 毛毛 妞妞 乐乐妈
浩浩爸爸 糖糖妈妈 子涵奶奶 三班班长 群主 管理员 老板 销售一部-孙健 华东区经理 采购部小何 仓库老吴 司机师傅刘 门店店长
实习生小郑 外包-林涛 项目经理周杰 测试工程师黄磊 人力资源部 HR-小唐 法务徐静 市场总监马丽 研发中心-钱程 售后服务
水电王师傅 快递小张 房产中介小陈 保险顾问李姐 健身教练阿杰 钢琴老师 幼儿园园长 物业张经理 楼上邻居 隔壁老王 二哥 三叔
四姨 大舅 表弟 堂姐 外婆 老爸 老妈 宝贝女儿 亲爱的 孤独患者 深海里的鱼 风一样的男子 南方姑娘 北方的狼 东北大哥
四川辣妹子 上海爷叔 广州靓仔 西安吃货 重庆火锅 长沙臭豆腐 武汉热干面 杭州小笼包 新疆大盘鸡 蓝天白云 青山绿水 白衣飘飘
红尘过客 紫色心情 灰太狼 黑猫警长 金牌销售 银河护卫队 铁锤妹妹 木子李 弓长张 言午许 双木林 古月胡 耳东陈 Tony老师
Lucy小姐姐 A座保安 IT支持-小冯 小张(离职) 王总【已认证】 星空下的约定 樱花树下 逆光飞翔 旧城以西 北城以北 南风知我意
清风徐来 明月几时有 繁华落尽 曾经沧海 似水年华 如梦令 青花瓷 稻香 七里香 晴天 彩虹 简单爱 告白气球 等你下课 稳如泰山
一路向北 不忘初心 勇往直前 奋斗的青春 诗和远方 说走就走 佛系青年 退休老干部 爱跑步的程序员 深夜码农 代码搬运工
秃头小宝贝 熬夜冠军 奶爸日记 二胎妈妈 广场舞领队 钓鱼佬 麻将高手 烧烤摊主 水果批发 老街理发店
""",
    "nicknames, traditional": """
小明 阿嬤的廚房 業務部陳經理 客服-林小姐 會計王姐 工程師阿宏 愛吃魚的貓 珍珠奶茶 半糖去冰 每天都想下班 今天也要加油
小資女 文青 早餐店阿姨 隔壁老王 里長伯 班長 社團幹部 陳老師 黃醫師 張主任 李董 總務處 人事室劉小姐 行銷企劃-吳佩珊
資訊部_許志偉 倉管阿德 司機大哥 實習生小蔡 專案經理鄭雅文 測試帳號 研發處 技術支援 門市店長 採購部小楊 法務林律師
保險業務員 房仲小陳 健身教練 鋼琴老師 幼稚園園長 大雄 胖虎 小丸子 皮卡丘 龍貓 海綿寶寶 草莓蛋糕 檸檬紅茶 芋頭西米露
臭豆腐 滷肉飯 蚵仔煎 牛肉麵 鹽酥雞 雞排妹 鳳梨酥 太陽餅 台北人 台南囝仔 高雄發大財 花蓮海邊 墾丁陽光 阿里山的姑娘
淡水老街 九份茶樓 香港朋友 旺角阿強 九龍仔 茶餐廳老闆 凍檸茶 菠蘿包 追風少年 會飛的豬 迷路的小鹿 愛笑的眼睛
星空下的約定 櫻花樹下 夏天的風 冬日暖陽 春暖花開 雲淡風輕 隨遇而安 知足常樂 平安喜樂 一路向北 簡單愛 聽媽媽的話
告白氣球 青花瓷 七里香 彩虹 晴天 小幸運 後來 勇氣 遇見 倒帶 溫柔 戀愛ing 志明與春嬌 乾杯 爸爸 媽媽 阿公 阿嬤 二哥 三姐
大舅 表弟 堂妹 寶貝女兒 樂樂媽 豆豆爸 毛孩子 貓奴 鏟屎官 夜貓子 月光族 加班狗 設計師小葉 攝影師阿凱 烘焙教室
花店老闆娘 登山社 籃球隊長 志工隊 讀書會 家長會長 三年二班 導師 校長室 Tony老師 Amy姐 A棟管理員 IT-小馮 王總(離職)
""",
}
CASES = (
    ("gb18030", "zh_CN", ENGLISH),
    ("gb18030", "zh_CN", SIMPLIFIED),
    ("gb18030", "nicknames, simplified", ENGLISH),
    ("gb18030", "nicknames, simplified", SIMPLIFIED),
    ("gb18030", "zh_TW", ENGLISH),
    ("cp950", "zh_TW", ENGLISH),
    ("cp950", "zh_TW", TRADITIONAL),
    ("cp950", "nicknames, traditional", ENGLISH),
    ("cp950", "nicknames, traditional", TRADITIONAL),
    ("euc_jp", "ja_JP", ENGLISH),
    ("cp932", "ja_JP", ENGLISH),
    ("euc_kr", "ko_KR", ENGLISH),
    ("cp949", "ko_KR", ENGLISH),
    *((codec, locale, ENGLISH) for codec in ("iso8859_2", "cp1250") for locale in ("pl_PL", "cs_CZ", "hu_HU")),
    ("cp1258", "vi_VN", ENGLISH),
    ("cp874", "th_TH", ENGLISH),
    ("koi8_r", "ru_RU", ENGLISH),
    ("cp1251", "ru_RU", ENGLISH),
    ("latin_1", "fr_FR", ENGLISH),
    ("latin_1", "es_ES", ENGLISH),
)


def names_of(source: str, codec: str, *, tuning: bool) -> list[str]:
    """One half of the names that can be written in an encoding."""
    if source in NICKNAMES:
        names = NICKNAMES[source].split()
    else:
        fake = Faker(source)
        fake.seed_instance(1)
        names = [fake.name() for _ in range(5_000)]
    if source == "ja_JP":
        names = [name.replace(" ", "") for name in names]
    if codec == "cp1258":
        names = [separate_tones(name) for name in names]
    half = [name for name in sorted(set(names)) if zlib.crc32(name.encode()) % 2 == (not tuning)]
    return [name for name in half if not name.isascii() and name.encode(codec, errors="ignore").decode(codec) == name]


def separate_tones(name: str) -> str:
    """Vietnamese as Windows-1258 writes it: the tone after its letter."""
    tones = "\u0300\u0301\u0303\u0309\u0323"
    letters: list[str] = []
    for character in name:
        parts = unicodedata.normalize("NFD", character)
        tone = "".join(part for part in parts if part in tones)
        letters += unicodedata.normalize("NFC", "".join(part for part in parts if part not in tones)), tone
    return "".join(letters)


def verdict(text: str, codec: str) -> str:
    """What becomes of a file: ``right``, ``refused`` or ``wrong``."""
    content = text.encode(codec)
    try:
        read = content.decode(find_encoding(content, None, file="names.csv")[0])
    except (SourceError, UnicodeDecodeError):  # reading refuses what does not decode
        return "refused"
    return "right" if read == text else "wrong"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=200, help="files of each kind")
    parser.add_argument("--tuning", action="store_true", help="the half with which the constants were chosen")
    options = parser.parse_args()
    print(f"{'encoding':10} {'names':24} {'header':22}" + "".join(f" {size:5} names: r/r/w" for size in SIZES))
    for codec, source, header in CASES:
        names = names_of(source, codec, tuning=options.tuning)
        line = f"{codec:10} {source:24} {'English' if header == ENGLISH else 'Chinese':22}"
        for size in SIZES:
            chance = random.Random(f"{codec} {source} {size}")
            found: Counter[str] = Counter()
            for _ in range(options.files):
                rows = [f"u{1001 + n},g{2001 + n // 5},{chance.choice(names)}\r\n" for n in range(size)]
                found[verdict("\r\n".join([header, *map(str.strip, rows), ""]), codec)] += 1
            line += f"{found['right']:8}{found['refused']:5}{found['wrong']:5}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
