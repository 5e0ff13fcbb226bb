from bookshop import Facts, fetch, open_shop
from headrace_automation import NonRetryableError


async def automation(params, **_):
    """
    Read the page of one book.
    """
    with open_shop() as shop:
        facts = Facts(fetch(shop + params["path"])).texts
    if "price" not in facts:
        raise NonRetryableError(f"{params['path']} is not the page of a book.")
    return {"title": facts["title"], "author": facts["author"], "price": float(facts["price"])}
