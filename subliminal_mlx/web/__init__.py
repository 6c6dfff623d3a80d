"""What the apps need beside widgets: the server, who visits, what a page may see."""
