#!/bin/sh
# Chromium without what costs half of a page and nobody sees: parts of the window that are pages of their own, each in a process of its own, and the
# process that is started in advance (Chromium 156). It heeds the last --disable-features alone, so these are added to those that it is given.
unseen=InitialWebUI,PreloadTopChromeWebUI,SpareRendererForSitePerProcess
unseen=$unseen,WebUIBackForwardButton,WebUIHomeButton,WebUILocationBar,WebUIReloadButton,WebUISplitTabsButton,WebUIToolbar
unseen=$unseen,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup,WebUIOmniboxPopup
for given; do
    shift
    case $given in --disable-features=*) given=$given,$unseen ;; esac
    set -- "$@" "$given"
done
exec @PROGRAM@ "$@"
