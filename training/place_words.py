# ruff: noqa: E501, RUF001 - lists of words are easier to compare on one line, and some letters look like others
"""Words of which addresses, firms and dates are made up, by language and by country."""

STREETS = {
    "en": (
        "{} {}",
        "High Church Station Victoria Park Mill King Queen Green Baker Chestnut Elm Oxford Bridge Castle Albert Manor York Market Cedar".split(),
        "Street Road Lane Avenue Close Drive Court Way Gardens Terrace Place Square Crescent Hill".split(),
    ),
    "de": (
        "{}{}",
        "Haupt Bahnhof Garten Schiller Goethe Berg Wald Linden Kirch Mühlen Rosen Schul Bismarck Ring Wiesen Kastanien Friedrich Dorf".split(),
        "straße strasse str. weg allee gasse platz ring ufer".split(),
    ),
    "fr": (
        "{1} {0}",
        "de la République|Victor Hugo|de la Gare|Pasteur|du Moulin|des Lilas|Jean Jaurès|de l'Église|Saint-Martin|du Château|Voltaire|des Écoles|Gambetta".split(
            "|"
        ),
        "rue avenue boulevard place chemin impasse allée quai Rue Avenue".split(),
    ),
    "es": (
        "{1} {0}",
        "Mayor|de la Constitución|del Sol|San Juan|de Cervantes|Real|de la Libertad|Goya|Gran Vía|Colón|de Aragón|Velázquez|Nueva|de la Paz".split(
            "|"
        ),
        "Calle Avenida Plaza Paseo Avda. C/ calle Carrera Ronda Camino".split(),
    ),
    "it": (
        "{1} {0}",
        "Garibaldi|Roma|Dante Alighieri|Mazzini|Verdi|della Repubblica|Cavour|XX Settembre|San Marco|Manzoni|dei Mille|Leopardi|Marconi".split(
            "|"
        ),
        "Via Viale Piazza Corso Vicolo via Largo Strada".split(),
    ),
    "nl": (
        "{}{}",
        "Dorps Kerk Molen School Stations Wilhelmina Juliana Beatrix Prinsen Heren Linden Park Haven Markt Burgemeester Nieuwe Oranje".split(),
        "straat weg laan plein gracht kade singel dreef dijk".split(),
    ),
}
TOWNS = {
    "en": "London Leeds Bristol Norwich Bath Exeter Galway Reading Dover Swindon Luton Derby Boston Austin Portland".split(),
    "de": "Berlin|Hamburg|Freiburg im Breisgau|Kassel|Ulm|Graz|Bern|Mainz|Erfurt|Lübeck|Bad Homburg|Linz|Trier|Bielefeld".split(
        "|"
    ),
    "fr": "Paris|Lyon|Aix-en-Provence|Dijon|Grenoble|Le Mans|Saint-Étienne|Tours|Metz|Namur|Lausanne|Reims|La Rochelle".split(
        "|"
    ),
    "es": "Madrid|Sevilla|León|Las Palmas|Alicante|Burgos|San Sebastián|Cádiz|Vigo|Gijón|Palma de Mallorca|Toledo".split(
        "|"
    ),
    "it": "Roma|Milano|Bari|Parma|Reggio Emilia|La Spezia|Trento|Modena|Lecce|Ravenna|Pisa|Como|Bergamo".split("|"),
    "nl": "Amsterdam|Den Haag|Breda|Zwolle|Arnhem|Delft|'s-Hertogenbosch|Leuven|Mechelen|Almere|Tilburg|Assen".split(
        "|"
    ),
}
MORE_TOWNS = {
    "en": "Hove|Dundee|Swansea|Cobh|Sligo|Hull|York|Sheffield|Glasgow|Belfast|Cardiff|Truro|Corby|Wigan|Cork|Ennis",
    "de": "Jena|Hof|Wien|Zürich|Basel|Salzburg|Kiel|Essen|Plauen|Görlitz|Winterthur|Emden|Aalen|Celle|Gera|Köln",
    "fr": "Brest|Nîmes|Évreux|Pau|Liège|Mons|Genève|Annecy|Quimper|Marseille|Lille|Angers|Niort|Bastia|Rodez|Sète",
    "es": "Gijón|Lugo|Huesca|Sabadell|Vitoria|Bilbao|Málaga|Cáceres|Elche|Mataró|Lleida|Ourense|Reus|Jaén|Melilla",
    "it": "Genova|Catania|Trieste|Udine|Ancona|Foggia|Bolzano|Firenze|Palermo|Novara|Siena|Cuneo|Sassari|Imola|Asti",
    "nl": "Utrecht|Gent|Hasselt|Alkmaar|Venlo|Deinze|Aalst|Leiden|Sneek|Goes|Emmen|Kortrijk|Hoorn|Gouda|Brugge|Lier",
}
ADDRESS_STREETS: dict[str, dict[str, str]] = {
    "en": {"kinds": "Street|Road|Lane|Close|Court|Row|Mews|Wharf|Gdns|Gardens|Terrace|Hill|Rise|Way|Quay|Cross|Parade|Ave|Rd|St|Crescent|Grove|Drive|Place|Square|Yard|Walk|Green",
           "line": "{n} {s} {k}", "glued": "", "extras": "Flat #|Flat #b|Unit #|Upper Flat|Apt #|Basement Flat|Floor #|The Old Mill House|Rose Cottage|Suite ##|Room #.##|Flat # Maple House"},
    "de": {"kinds": "Straße|Str.|Weg|Gasse|Platz|Allee|Ring|Ufer|Steig|Damm|Graben|Markt|Hof|Berg|Zeile|Stieg",
           "line": "{s}-{k} {n}", "glued": "yes", "extras": "# OG|#. OG links|#. Stock|Hinterhaus|EG rechts|Top #|Whg. #|Haus #|c/o Meier|Aufgang B|Stiege #|DG"},
    "fr": {"kinds": "rue|avenue|boulevard|place|impasse|allée|chemin|quai|cours|venelle|square|passage|route de|rue du|rue de la|av.|bd|Rue|Avenue",
           "line": "{n} {k} {s}", "glued": "", "extras": "bât. B|appt ##|#e étage|escalier C|boîte #|résidence des Pins|lieu-dit Le Bourg|BP ##|hall #"},
    "es": {"kinds": "calle|avenida|plaza|paseo|C/|Avda.|Pza.|camino|ronda|travesía|rúa|carrer|Calle|Avenida|Plaza de|Rúa do|Carrer de|Pº",
           "line": "{k} {s}, {n}", "glued": "", "extras": "#.º izq.|#º B|#.º #.ª|bajo|ático|esc. A|portal #|piso #|pta. ##|baixo|local #"},
    "it": {"kinds": "via|viale|piazza|corso|vicolo|salita|strada|largo|borgo|contrada|loc.|calle|Via|Piazza|Corso|V.le|P.zza|lungarno",
           "line": "{k} {s} {n}", "glued": "", "extras": "int. #|scala B|piano #|interno ##|palazzina C|snc|sc. A int. #|citofono 12"},
    "nl": {"kinds": "straat|laan|weg|plein|gracht|kade|singel|dijk|hof|steeg|dreef|pad|markt|baan|lei|haven",
           "line": "{s} {k} {n}", "glued": "yes", "extras": "bus #|# hoog|#e verdieping|app. #|achterhuis|bis|toren B|huis #"},
}  # fmt: skip
PLACES_ABROAD = {
    "pl": ("ul. Długa|ul. Mickiewicza|al. Jana Pawła II|pl. Wolności|ul. Szeroka|os. Kościuszki|Aleje Jerozolimskie|Plac Nowy", "Kraków|Łódź|Poznań|Gdańsk|Wrocław|Lublin", "##|#/##|## m. #", "##-###", "{s} {n}{j}{c} {t}"),
    "cz": ("Vinohradská|Na Příkopě|Husova|Masarykova|Dlouhá|nám. Míru", "Praha 2|Brno|Ostrava|Plzeň|Bratislava", "##|###/##", "### ##", "{s} {n}{j}{c} {t}"),
    "se": ("Storgatan|Kungsgatan|Drottninggatan|Björkvägen|Skolvägen|Ringvägen|Vasagatan", "Stockholm|Malmö|Uppsala|Lund|Umeå", "##|# B|## lgh 1###", "### ##", "{s} {n}{j}{c} {t}"),
    "no": ("Storgata|Karl Johans gate|Kirkeveien|Bjerkealleen|Markveien", "Oslo|Bergen|Trondheim|Tromsø", "##|#A", "####", "{s} {n}{j}{c} {t}"),
    "dk": ("Nørregade|Vestergade|Strandvejen|Algade|Søndre Allé", "København K|Aarhus C|Odense|Aalborg", "##, #. tv|##, st. th|#", "####", "{s} {n}{j}{c} {t}"),
    "fi": ("Hämeenkatu|Aleksanterinkatu|Koivutie|Rantatie|Kauppakatu|Mäkitie", "Helsinki|Tampere|Turku|Oulu|Espoo", "## A ##|# B #|##", "00##0", "{s} {n}{j}{c} {t}"),
    "hu": ("Kossuth Lajos utca|Petőfi Sándor u.|Rákóczi út|Váci utca|Andrássy út", "Budapest|Szeged|Pécs|Debrecen", "##. #/#|##.|#", "####", "{c} {t}, {s} {n}"),
    "ro": ("Str. Mihai Eminescu|Bd. Unirii|Calea Victoriei|Aleea Teilor|Șos. Ștefan cel Mare", "București|Cluj-Napoca|Iași|Brașov", "##, bl. #, sc. A, ap. ##|##", "0#####", "{s} nr. {n}{j}{c} {t}"),
    "bg": ("bul. Vitosha|ul. Rakovski|ul. Shipka|bul. Slivnitsa|ul. Hristo Botev", "Sofia|Plovdiv|Varna|Burgas", "##|##, entr. B, fl. #|##, ap. #", "####", "{s} {n}{j}{c} {t}"),
    "gr": ("Odos Ermou|Leof. Kifisias|Patision|Odos Athinas|Tsimiski|Egnatia", "Athens|Thessaloniki|Patra|Heraklion", "##|##, #th floor", "### ##", "{s} {n}{j}{c} {t}"),
    "hr": ("Ilica|Vukovarska ulica|Trg bana Jelačića|Savska cesta|Ulica kralja Tomislava", "Zagreb|Split|Rijeka|Osijek|Beograd|Ljubljana", "##|###, #rd floor|#a", "#0000", "{s} {n}{j}{c} {t}"),
    "lt": ("Gedimino pr.|Vilniaus g.|Laisvės al.|Brīvības iela|Pikk|Narva mnt", "Vilnius|Kaunas|Rīga|Tallinn|Tartu", "##-#|##|# - ##", "LT-0####", "{s} {n}{j}{c} {t}"),
    "pt": ("Rua Augusta|Avenida da Liberdade|Rua de Santa Catarina|Travessa do Carmo|Praça da República|Largo do Chiado", "Lisboa|Porto|Braga|Coimbra|Faro", "##, #.º Esq.|##|###, r/c Dto.", "####-###", "{s} {n}{j}{c} {t}"),
    "tr": ("Atatürk Cad.|İstiklal Caddesi|Cumhuriyet Mah. Gül Sok.|Bağdat Cad.|İnönü Bulvarı", "İstanbul|Ankara|İzmir|Bursa", "No: ##|No:#/##|No: ## D: #", "3####", "{s} {n}{j}{c} {t}"),
}  # fmt: skip
COMPANIES = "Nordwind Contoso Meridian Lumen Fabrik Helix Orion Aurora Delta Atlas Vector Solaris Quantum Polar".split()
FORMS = {"en": "Ltd Inc plc", "de": "GmbH AG KG", "fr": "SA SARL SAS", "es": "SL SA", "it": "SpA Srl", "nl": "BV NV"}
TRADES = {
    "en": "Joinery|Bodyworks|Logistics|Consulting|Foods|Plumbing|Motors|Insurance Brokers|Bakery|Pharma|Estates".split(
        "|"
    ),
    "de": "Textil|Bau|Logistik|Elektrotechnik|Versicherungen|Spedition|Möbel|Apotheke|Verlag|Druck|Immobilien".split(
        "|"
    ),
    "fr": "Transports|Menuiserie|Assurances|Conseil|Immobilier|Boulangerie|Bâtiment|Cosmétiques|Éditions".split("|"),
    "es": "Conservas|Transportes|Seguros|Hermanos|Construcciones|Muebles|Bodegas|Viajes|Alimentación".split("|"),
    "it": "Costruzioni|Trasporti|Assicurazioni|Fratelli|Arredamenti|Cantine|Moda|Viaggi|Alimentari".split("|"),
    "nl": "Bouw|Transport|Verzekeringen|Bakkerij|Keukens|Makelaars|Installatietechniek|Groothandel".split("|"),
}
PARTICLES = ("de", "van", "von", "van der", "di", "del", "van de", "De", "Van", "zu", "ter", "da", "la")
MONTHS = {
    "en": "January March May July October", "de": "Januar März Mai Juli Oktober", "fr": "janvier mars mai juillet octobre",
    "es": "enero marzo mayo julio octubre", "it": "gennaio marzo maggio luglio ottobre", "nl": "januari maart mei juli oktober",
}  # fmt: skip
