"""Every column name and dtype of the tables, once."""

from typing import Final

import polars as pl

USER: Final = "user_id"
ITEM: Final = "item_id"
TIMESTAMP: Final = "timestamp"
BASKET: Final = "basket_id"
STORE: Final = "store_id"
QUANTITY: Final = "quantity"
PRICE: Final = "price"
DISCOUNT: Final = "discount"

TITLE: Final = "title"
DESCRIPTION: Final = "description"
IMAGE: Final = "image"
DEPARTMENT: Final = "department"
CATEGORY: Final = "category"
SUBCATEGORY: Final = "subcategory"
BRAND: Final = "brand"
SIZE: Final = "size"

CAMPAIGN: Final = "campaign_id"

START: Final = "start"
END: Final = "end"
DISPLAY: Final = "display"
MAILER: Final = "mailer"

TIME_DTYPE: Final = pl.Datetime("us")

#: Purchases: one row a line of a basket. `price` is what one unit cost after discounts, `discount` the share
#: (0 to 1) taken off the shelf price. Times are naive, in the shop's own time zone.
INTERACTIONS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    USER: pl.String,
    ITEM: pl.String,
    TIMESTAMP: TIME_DTYPE,
    BASKET: pl.String,
    STORE: pl.String,
    QUANTITY: pl.Float32,
    PRICE: pl.Float32,
    DISCOUNT: pl.Float32,
}
INTERACTIONS_REQUIRED: Final = (USER, ITEM, TIMESTAMP)

#: The catalogue: one row an item, from the widest group (`department`) to the narrowest (`subcategory`). `image` is the path of a
#: picture; every further column is a categorical attribute kept as text.
ITEMS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    ITEM: pl.String,
    TITLE: pl.String,
    DESCRIPTION: pl.String,
    IMAGE: pl.String,
    DEPARTMENT: pl.String,
    CATEGORY: pl.String,
    SUBCATEGORY: pl.String,
    BRAND: pl.String,
    SIZE: pl.String,
}
ITEMS_REQUIRED: Final = (ITEM,)

#: People: one row a user; every further column is a categorical attribute kept as text.
USERS_REQUIRED: Final = (USER,)

#: Offers: an item in a store from `start` (inclusive) to `end` (exclusive), known before it starts.
PROMOTIONS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    ITEM: pl.String,
    STORE: pl.String,
    START: TIME_DTYPE,
    END: TIME_DTYPE,
    DISPLAY: pl.String,
    MAILER: pl.String,
}
PROMOTIONS_REQUIRED: Final = (ITEM, START, END)

#: Campaigns: one row a user that a campaign's coupons were sent to, who can use them from `start` (inclusive) to `end` (exclusive).
CAMPAIGNS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    CAMPAIGN: pl.String,
    USER: pl.String,
    START: TIME_DTYPE,
    END: TIME_DTYPE,
}
CAMPAIGNS_REQUIRED: Final = (CAMPAIGN, USER, START, END)

#: Coupons: one row a coupon of a campaign and an item that it can be used for.
COUPONS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {CAMPAIGN: pl.String, ITEM: pl.String}
COUPONS_REQUIRED: Final = (CAMPAIGN, ITEM)
