from bookshop import Facts, fetch, open_shop
from headrace_automation import extend_payload


async def automation(params, **_):
    """
    List the books, and ask for a call of read-book for each.
    """
    with open_shop() as shop:
        paths = Facts(fetch(shop)).links
    for path in paths:
        extend_payload({"api": "read-book", "parameters": {"path": path}})
    print(f"{len(paths)} books on the shelf")
    return {"books": len(paths)}
