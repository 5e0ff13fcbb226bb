from bookshop import open_shop


async def automation(page, params, **_):
    """
    Read the page of one book with a browser.
    """
    with open_shop() as shop:
        await page.goto(shop + params["path"])
        return {
            "title": await page.locator(".title").inner_text(),
            "author": await page.locator(".author").inner_text(),
            "price": float(await page.locator(".price").inner_text()),
        }
